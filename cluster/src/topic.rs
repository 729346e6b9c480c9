//! Topics of M3Msg: streams of messages, and the services that read them.

use std::collections::BTreeSet;

use crate::error::{Error, check_limit};
use crate::generated::topicpb::{ConsumerService, ConsumptionType, Filters, ServiceId, Topic};
use crate::kv::{Expected, Key, Scope, SharedKv, load, store};
use crate::limits::{CONSUMERS_MAX, SHARDS_MAX};

/// The topic of who does not name one.
pub const DEFAULT_NAME: &str = "aggregated_metrics";

/// Where topics are.
const NAMESPACE: &str = "/topic";

/// A topic and the version of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionedTopic {
    /// The topic.
    pub topic: Topic,
    /// Its version.
    pub version: u64,
}

/// The topics of one environment.
#[derive(Clone, Debug)]
pub struct Topics {
    kv: SharedKv,
    scope: Scope,
}

impl Topics {
    /// The topics of `scope`.
    #[must_use]
    pub fn new(kv: SharedKv, scope: Scope) -> Self {
        Self { kv, scope }
    }

    /// A topic.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn get(&self, name: &str) -> Result<VersionedTopic, Error> {
        let (topic, version) = load(&*self.kv, &self.key(name)).await?;
        Ok(VersionedTopic { topic, version })
    }

    /// Makes a topic without consumers.
    ///
    /// # Errors
    /// PARITY(m3): [`Error::VersionMismatch`] if it exists. [`Error::Refused`] for no shards, and
    /// what the store says.
    pub async fn init(&self, name: &str, shards: u32) -> Result<VersionedTopic, Error> {
        let topic = Topic { name: name.to_owned(), number_of_shards: shards, ..Topic::default() };
        self.save(topic, 0).await
    }

    /// Adds a consumer.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for a consumer that says too little,
    /// [`Error::Refused`] for one that is there, and what the store says.
    pub async fn add(
        &self,
        name: &str,
        consumer: Option<ConsumerService>,
    ) -> Result<VersionedTopic, Error> {
        let VersionedTopic { mut topic, version } = self.get(name).await?;
        let missing = || Error::Invalid("missing required field: consumerService".to_owned());
        let consumer = consumer.ok_or_else(missing)?;
        check_consumer(&consumer)?;
        if topic.consumer_services.iter().any(|there| there.service_id == consumer.service_id) {
            let who = described(consumer.service_id.as_ref());
            return Err(Error::Refused(format!("service {who} is already consuming the topic")));
        }
        topic.consumer_services.push(consumer);
        self.save(topic, version).await
    }

    /// Replaces all consumers of a topic that is at `version`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for a consumer that says too little,
    /// [`Error::VersionMismatch`], and what the store says.
    pub async fn update(
        &self,
        name: &str,
        consumers: Vec<ConsumerService>,
        version: u64,
    ) -> Result<VersionedTopic, Error> {
        let VersionedTopic { topic, .. } = self.get(name).await?;
        for consumer in &consumers {
            let who = described(consumer.service_id.as_ref());
            check_consumer(consumer).map_err(|error| {
                error.within(format!("error converting consumer service {who}"))
            })?;
        }
        let topic = Topic { consumer_services: consumers, ..topic };
        // PARITY(m3): its words, though nothing is deleted.
        let saved = self.save(topic, version).await;
        saved.map_err(|error| error.within(format!("error deleting service '{name}'")))
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.kv.delete(&self.key(name)).await.map(drop)
    }

    fn key(&self, name: &str) -> Key {
        self.scope.key(NAMESPACE, name)
    }

    async fn save(&self, topic: Topic, version: u64) -> Result<VersionedTopic, Error> {
        check(&topic)?;
        let key = self.key(&topic.name);
        let version = store(&*self.kv, &key, Expected::Version(version), &topic).await?;
        Ok(VersionedTopic { topic, version })
    }
}

fn check_consumer(consumer: &ConsumerService) -> Result<(), Error> {
    let invalid = |why: &str| Err(Error::Invalid(why.to_owned()));
    if consumer.service_id.is_none() {
        return invalid("missing required field: serviceId");
    }
    match ConsumptionType::try_from(consumer.consumption_type) {
        Ok(ConsumptionType::Shared | ConsumptionType::Replicated) => Ok(()),
        Ok(ConsumptionType::Unknown) => invalid("invalid consumption type in protobuf: UNKNOWN"),
        Err(_) => {
            let number = consumer.consumption_type;
            invalid(&format!("invalid consumption type in protobuf: {number}"))
        }
    }
}

/// The rules of a topic.
fn check(topic: &Topic) -> Result<(), Error> {
    let refused = |why: String| Err(Error::Refused(format!("invalid topic: {why}")));
    if topic.name.is_empty() {
        return refused("empty name".to_owned());
    }
    if topic.number_of_shards == 0 {
        return refused("zero shards".to_owned());
    }
    let shards = topic.number_of_shards as usize;
    check_limit("the number of shards", shards, SHARDS_MAX as usize)?;
    check_limit("the number of consumers", topic.consumer_services.len(), CONSUMERS_MAX)?;
    let mut seen = BTreeSet::new();
    for consumer in &topic.consumer_services {
        let who = described(consumer.service_id.as_ref());
        if !seen.insert(who.clone()) {
            return refused(format!("duplicated consumer {who}"));
        }
        if let Some(why) = consumer.filters.as_ref().and_then(wrong_filter) {
            return refused(format!("{why} for consumer {who}"));
        }
    }
    Ok(())
}

fn wrong_filter(filters: &Filters) -> Option<&'static str> {
    if filters.shard_set_filter.as_ref().is_some_and(|filter| filter.shard_set.is_empty()) {
        return Some("empty shard set in filter");
    }
    let percentage = filters.percentage_filter.as_ref().map(|filter| filter.percentage);
    if percentage.is_some_and(|percentage| !(percentage > 0.0 && percentage < 100.0)) {
        return Some("invalid percentage in filter");
    }
    let policies = &filters.storage_policy_filter.as_ref()?.storage_policies;
    if policies.is_empty() {
        return Some("empty storage policy filter");
    }
    policies.iter().any(String::is_empty).then_some("empty storage policy in filter")
}

/// PARITY(m3): how it prints a service.
fn described(id: Option<&ServiceId>) -> String {
    let ServiceId { name, environment, zone } = id.cloned().unwrap_or_default();
    format!("[name: {name}, env: {environment}, zone: {zone}]")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::generated::topicpb::PercentageFilter;
    use crate::kv::DEFAULT_ZONE;
    use crate::kv::embedded::EmbeddedKv;

    fn topics() -> Topics {
        Topics::new(Arc::new(EmbeddedKv::in_memory(DEFAULT_ZONE)), Scope::default())
    }

    fn consumer(name: &str) -> ConsumerService {
        let id = ServiceId { name: name.to_owned(), ..ServiceId::default() };
        let mut consumer = ConsumerService { service_id: Some(id), ..ConsumerService::default() };
        consumer.set_consumption_type(ConsumptionType::Shared);
        consumer
    }

    #[tokio::test]
    async fn consumers_come_once() {
        let topics = topics();
        topics.init("t", 64).await.expect("a topic");
        let added = topics.add("t", Some(consumer("a"))).await.expect("a consumer");
        assert_eq!((added.version, added.topic.consumer_services.len()), (2, 1));
        let again = topics.add("t", Some(consumer("a"))).await.expect_err("it is there");
        let who = "[name: a, env: , zone: ]";
        assert_eq!(again.to_string(), format!("service {who} is already consuming the topic"));
        let twice = vec![consumer("b"), consumer("b")];
        assert!(topics.update("t", twice, 2).await.is_err());
        assert!(topics.update("t", vec![consumer("b")], 1).await.is_err(), "it is at 2");
        let updated = topics.update("t", vec![consumer("b")], 2).await.expect("updated");
        assert_eq!(topics.get("t").await.expect("a topic"), updated);
    }

    #[tokio::test]
    async fn a_consumer_must_say_how_it_reads() {
        let topics = topics();
        topics.init("t", 1).await.expect("a topic");
        let mut silent = consumer("a");
        silent.set_consumption_type(ConsumptionType::Unknown);
        assert!(matches!(topics.add("t", Some(silent)).await, Err(Error::Invalid(_))));
        assert!(matches!(topics.add("t", None).await, Err(Error::Invalid(_))));
        let mut filtered = consumer("a");
        let none = PercentageFilter { percentage: 0.0 };
        filtered.filters = Some(Filters { percentage_filter: Some(none), ..Filters::default() });
        assert!(matches!(topics.add("t", Some(filtered)).await, Err(Error::Refused(_))));
    }

    #[tokio::test]
    async fn shards_are_bounded() {
        let topics = topics();
        assert!(topics.init("none", 0).await.is_err());
        assert!(topics.init("many", SHARDS_MAX).await.is_ok());
        assert!(topics.init("too-many", SHARDS_MAX + 1).await.is_err());
    }
}
