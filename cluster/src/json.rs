//! The JSON of M3's admin API: protobuf messages as proto3 JSON.
//!
//! Names are camelCase on the way out, and either camelCase or as in the protobuf file on the way
//! in. 64-bit numbers are texts, enums are names, and values that are not set are written with
//! their defaults, messages among them as `null`. A message passes through its protobuf bytes, so
//! that one description of its fields, the generated descriptors, serves both forms.

mod durations;
mod read;
mod schema;
mod syntax;
mod write;

use prost::{Message, Name};
use serde_json::Value;

pub(crate) use durations::invalid_duration;
pub use durations::{to_durations, to_nanos};
use schema::{FieldSchema, MessageSchema};

/// Why a text is not the JSON of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl JsonError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Whether values that are not set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// They are.
    Written,
    /// They are not.
    LeftOut,
}

/// Reads the message whose JSON stands at the start of `text`.
///
/// # Errors
/// What is no JSON, names a field or an enum value that is not there, or has a value of another
/// kind.
pub fn read<M: Message + Name + Default>(text: &[u8]) -> Result<M, JsonError> {
    read_value(&syntax::first_value(text)?)
}

/// Reads any JSON value at the start of `text`.
///
/// # Errors
/// What is no JSON.
pub fn read_any(text: &[u8]) -> Result<Value, JsonError> {
    syntax::first_value(text)
}

/// Reads a message from JSON that was read already.
///
/// # Errors
/// As [`read`].
pub fn read_value<M: Message + Name + Default>(value: &Value) -> Result<M, JsonError> {
    let mut bytes = Vec::new();
    read::put_message(schema::message(&M::full_name()), value, &mut bytes)?;
    M::decode(&bytes[..]).map_err(|error| JsonError::new(error.to_string()))
}

/// Writes a message.
///
/// # Panics
/// Never: what prost wrote is a message.
#[must_use]
pub fn write<M: Message + Name>(message: &M, defaults: Defaults) -> String {
    let mut text = String::new();
    let schema = schema::message(&M::full_name());
    write::write_message(schema, &message.encode_to_vec(), defaults, &mut text)
        .expect("BUG: prost wrote bytes that are no message");
    text
}

/// The field inside of a message that JSON shows as that field alone.
fn wrapped(schema: &MessageSchema) -> Option<&FieldSchema> {
    const WRAPPERS: [&str; 3] =
        ["google.protobuf.BoolValue", "google.protobuf.DoubleValue", "google.protobuf.UInt32Value"];
    WRAPPERS.contains(&schema.name.as_str()).then(|| &schema.fields[0])
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::generated::admin::{
        NamespaceAddRequest, PlacementInitRequest, PlacementSetRequest, TopicAddRequest,
    };
    use crate::generated::kvpb::QueryLimits;
    use crate::generated::namespace::NamespaceOptions;
    use crate::generated::placementpb::{Instance, Shard};
    use crate::generated::topicpb::ConsumptionType;

    use super::*;

    fn refused<M: Message + Name + Default + std::fmt::Debug>(text: &str) -> String {
        read::<M>(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn names_of_both_forms_are_read() {
        let snake = br#"{"num_shards": 64, "instances": [{"isolation_group": "a", "port": "6"}]}"#;
        let camel = br#"{"numShards": "64", "instances": [{"isolationGroup": "a", "port": 6}]}"#;
        let snake: PlacementInitRequest = read(snake).expect("a request");
        assert_eq!(snake, read(camel).expect("the same"));
        assert_eq!((snake.num_shards, snake.instances[0].port), (64, 6));
    }

    #[test]
    fn refusals_say_what_m3_says() {
        let bogus = refused::<PlacementInitRequest>(r#"{"bogus":1}"#);
        assert_eq!(bogus, "unknown field \"bogus\" in admin.PlacementInitRequest");
        let topic = r#"{"consumerService":{"consumptionType":"BOGUS"}}"#;
        let unknown = "unknown value \"BOGUS\" for enum topicpb.ConsumptionType";
        assert_eq!(refused::<TopicAddRequest>(topic), unknown);
        let key = "invalid character 'b' looking for beginning of object key string";
        assert_eq!(refused::<PlacementInitRequest>("{bad"), key);
        assert_eq!(refused::<PlacementInitRequest>("{\"a\":"), "unexpected EOF");
        assert_eq!(refused::<PlacementInitRequest>(" "), "EOF");
        let value = "invalid character '}' looking for beginning of value";
        assert_eq!(refused::<PlacementInitRequest>("}"), value);
        let number = "json: cannot unmarshal number 1.5 into Go value of type int32";
        assert_eq!(refused::<PlacementInitRequest>(r#"{"numShards":1.5}"#), number);
        let text = "json: cannot unmarshal string into Go value of type map[string]json.RawMessage";
        assert_eq!(refused::<PlacementInitRequest>("\"x\""), text);
    }

    #[test]
    fn what_comes_after_the_message_is_not_looked_at() {
        assert!(read::<PlacementInitRequest>(b"{} trailing").is_ok());
    }

    #[test]
    fn a_deep_text_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read::<PlacementInitRequest>(deep.as_bytes()).is_err());
    }

    #[test]
    fn defaults_are_written_in_the_order_of_the_declaration() {
        let text = write(&TopicAddRequest::default(), Defaults::Written);
        assert_eq!(text, r#"{"consumerService":null}"#);
        let mut request = TopicAddRequest::default();
        request.consumer_service.get_or_insert_default().message_ttl_nanos = -5;
        let service = request.consumer_service.get_or_insert_default();
        service.set_consumption_type(ConsumptionType::Shared);
        let text = write(&request, Defaults::Written);
        let rest = r#""consumptionType":"SHARED","messageTtlNanos":"-5","filters":null"#;
        let expected = format!(r#"{{"consumerService":{{"serviceId":null,{rest}}}}}"#);
        assert_eq!(text, expected);
        assert_eq!(write(&QueryLimits::default(), Defaults::LeftOut), "{}");
    }

    #[test]
    fn wrapped_values_stand_for_themselves() {
        let text = br#"{"cacheBlocksOnRetrieve":false,"runtimeOptions":
            {"writeIndexingPerCPUConcurrency":16,"flushIndexingPerCPUConcurrency":1e-7}}"#;
        let options: NamespaceOptions = read(text).expect("options");
        assert_eq!(options.cache_blocks_on_retrieve, Some(false));
        let text = write(&options, Defaults::LeftOut);
        let runtime =
            r#"{"writeIndexingPerCPUConcurrency":16,"flushIndexingPerCPUConcurrency":1e-7}"#;
        let expected = format!(r#"{{"runtimeOptions":{runtime},"cacheBlocksOnRetrieve":false}}"#);
        assert_eq!(text, expected);
    }

    #[test]
    fn free_json_survives() {
        let free = r#"{"a":[1.5,"x",null,{"b":true}],"c":{}}"#;
        let text = format!(r#"{{"name":"","options":{{"extendedOptions":{{"options":{free}}}}}}}"#);
        let request: NamespaceAddRequest = read(text.as_bytes()).expect("a request");
        assert!(write(&request, Defaults::Written).contains(&format!("\"options\":{free}")));
    }

    #[test]
    fn maps_are_sorted_and_texts_are_safe() {
        let text = r#"{"placement":{"instances":{"b<":{"id":"\u0001\"b\\"},"a":{}}}}"#;
        let request: PlacementSetRequest = read(text.as_bytes()).expect("a request");
        let text = write(&request, Defaults::LeftOut);
        let expected = r#"{"placement":{"instances":{"a":{},"b\u003c":{"id":"\u0001\"b\\"}}}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn durations_become_nanoseconds_and_back() {
        let value =
            to_nanos(br#"{"a":{"bDuration":"1h30m","cDuration":7},"d":[{"eDuration":"0s"}]}"#);
        let value = value.expect("durations");
        assert_eq!(
            value.to_string(),
            r#"{"a":{"bNanos":5400000000000,"cNanos":7},"d":[{"eNanos":0}]}"#
        );
        let back = to_durations(r#"{"a":{"bNanos":"5400000000000"},"c":1}"#).expect("nanoseconds");
        assert_eq!(back, r#"{"a":{"bDuration":"1h30m0s"},"c":1}"#);
        let bad = to_nanos(b"{bad").expect_err("no JSON").to_string();
        let key = "invalid character 'b' looking for beginning of object key string";
        assert_eq!(bad, format!("error decoding JSON: {key}"));
        let bad = to_nanos(br#"{"xDuration":"soon"}"#).expect_err("no duration").to_string();
        let why = "time: invalid duration \"soon\"";
        assert_eq!(bad, format!("error converting duration to nanos: {why}"));
    }

    fn instance() -> impl Strategy<Value = Instance> {
        let texts = (".*", ".*", ".*");
        (texts, any::<(u32, u32)>(), any::<(i64, Option<u32>)>()).prop_map(
            |(texts, small, wide)| {
                let shard = Shard {
                    id: small.0,
                    cutover_nanos: wide.0,
                    redirect_to_shard_id: wide.1,
                    ..Shard::default()
                };
                Instance {
                    id: texts.0,
                    zone: texts.1,
                    hostname: texts.2,
                    weight: small.1,
                    shards: vec![shard, Shard::default()],
                    ..Instance::default()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            instances in vec(instance(), 0..4),
            num_shards in any::<i32>(),
        ) {
            let request = PlacementInitRequest { instances, num_shards, ..Default::default() };
            for defaults in [Defaults::Written, Defaults::LeftOut] {
                let text = write(&request, defaults);
                prop_assert_eq!(read(text.as_bytes()), Ok(request.clone()));
            }
        }

        #[test]
        fn any_text_is_read_without_harm(
            text in "[{}\\[\\]\":,a-z0-9 .]*",
            bytes in vec(any::<u8>(), 0..60),
        ) {
            let _: Result<NamespaceAddRequest, _> = read(text.as_bytes());
            let _: Result<NamespaceAddRequest, _> = read(&bytes);
            let _: Result<Value, _> = to_nanos(text.as_bytes());
        }
    }
}
