//! `downsample`: rules, and the way to aggregators.

use super::Kind::{AggregationType, Block, Bool, Duration, Int, List, Text, Words};
use super::message::AGGREGATOR_CLIENT;
use super::pool::{BUCKETS, NO_POOLS, OBJECTS};
use super::{Key, Kind, TEXTS, key};

const RULES_LATER: &str = "rules are read and checked; they act once samples are aggregated";
const LATER: &str = "samples are not aggregated yet";

/// Resolution and retention of aggregated samples.
pub(super) const STORAGE_POLICY: Kind =
    Block(&[key("resolution", Duration), key("retention", Duration)]);

const TAG: Kind = Block(&[key("name", Text), key("value", Text)]);

const MAPPING_RULE: Kind = Block(&[
    key("name", Text),
    key("filter", Text),
    key("aggregations", List(&AggregationType)),
    key("storagePolicies", List(&STORAGE_POLICY)),
    key("drop", Bool),
    key("tags", List(&TAG)),
]);

const TRANSFORMATIONS: &[&str] = &["Absolute", "PerSecond", "Increase", "Add", "Reset"];

const ROLLUP: Kind = Block(&[
    key("metricName", Text),
    key("groupBy", TEXTS),
    key("excludeBy", TEXTS),
    key("aggregations", List(&AggregationType)),
]);

const STEP: Kind = Block(&[
    key("rollup", ROLLUP),
    key("aggregate", Block(&[key("type", AggregationType)])),
    key("transform", Block(&[key("type", Words(TRANSFORMATIONS))])),
]);

const ROLLUP_RULE: Kind = Block(&[
    key("name", Text),
    key("filter", Text),
    key("transforms", List(&STEP)),
    key("storagePolicies", List(&STORAGE_POLICY)),
    key("tags", List(&TAG)),
]);

const RULES: Kind =
    Block(&[key("mappingRules", List(&MAPPING_RULE)), key("rollupRules", List(&ROLLUP_RULE))]);

const MATCHER: Kind = Block(&[
    key("cache", Block(&[key("capacity", Int).or("0")])),
    key("namespaceTag", Text).or("__m3_namespace__"),
    key("requireNamespaceWatchOnInit", Bool).or("false"),
]);

const TYPES: Kind = List(&AggregationType);

const SUFFIXES: Kind = Words(&["noop", "empty", "suffix"]);

/// How metrics are aggregated without a rule, and what outputs are called.
pub(super) const AGGREGATION_TYPES: Kind = Block(&[
    key("defaultCounterAggregationTypes", TYPES),
    key("defaultTimerAggregationTypes", TYPES),
    key("defaultGaugeAggregationTypes", TYPES),
    key("counterTransformFnType", SUFFIXES),
    key("timerTransformFnType", SUFFIXES),
    key("gaugeTransformFnType", SUFFIXES),
    key("aggregationTypesPool", OBJECTS).ignored(NO_POOLS),
    key("quantilesPool", BUCKETS).ignored(NO_POOLS),
]);

/// Downsampling of what is written.
pub(super) const DOWNSAMPLE: &[Key] = &[
    key("matcher", MATCHER).later(LATER),
    key("rules", RULES).used(RULES_LATER),
    key("remoteAggregator", Block(&[key("client", AGGREGATOR_CLIENT)]))
        .later("samples go to aggregators once there is M3Msg"),
    key("aggregationTypes", AGGREGATION_TYPES).later(LATER),
    key("counterElemPool", OBJECTS).ignored(NO_POOLS),
    key("timerElemPool", OBJECTS).ignored(NO_POOLS),
    key("gaugeElemPool", OBJECTS).ignored(NO_POOLS),
    key(
        "bufferPastLimits",
        List(&Block(&[key("resolution", Duration), key("bufferPast", Duration)])),
    )
    .later(LATER),
    key("entryTTL", Duration).later(LATER),
    key("untimedRollups", Bool).later(LATER),
    key("augmentM3Tags", Bool).old("types of metrics are always matched"),
    key("includeRollupsOnDefaultRuleFiltering", Bool).old("it has no effect"),
];
