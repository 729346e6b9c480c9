//! Placements as M3's messages, and back.

use std::collections::BTreeMap;

use prost::Message;

use super::check::check_limits;
use super::{Instance, Placement, PlacementError, Shard, ShardState};
use crate::error::Error;
use crate::generated::placementpb;
use crate::kv::{Key, Value};
use crate::limits::VALUE_BYTES_MAX;

impl Placement {
    /// The placement of a message.
    ///
    /// # Errors
    /// [`PlacementError::Malformed`] for shards that the placement does not have, and
    /// [`Error::Limit`].
    pub fn from_message(message: &placementpb::Placement) -> Result<Self, Error> {
        let mut placement = Self {
            instances: BTreeMap::new(),
            replica_factor: message.replica_factor,
            shards: message.num_shards,
            is_sharded: message.is_sharded,
            cutover_ns: message.cutover_time,
            is_mirrored: message.is_mirrored,
            max_shard_set_id: message.max_shard_set_id,
            is_subclustered: message.is_subclustered,
            instances_per_subcluster: message.instances_per_subcluster,
        };
        for instance in message.instances.values() {
            placement.insert(Instance::from_message(instance)?);
        }
        let mut shards = placement.instances.values().flat_map(|instance| instance.shards.keys());
        if shards.any(|id| *id >= placement.shards) {
            let why = "invalid placement, there are unexpected shard ids on instance";
            return Err(PlacementError::Malformed(why).into());
        }
        check_limits(&placement)?;
        Ok(placement)
    }

    /// The message of the placement.
    #[must_use]
    pub fn to_message(&self) -> placementpb::Placement {
        let instances = self.instances.iter();
        placementpb::Placement {
            instances: instances.map(|(id, i)| (id.clone(), i.to_message())).collect(),
            replica_factor: self.replica_factor,
            num_shards: self.shards,
            is_sharded: self.is_sharded,
            cutover_time: self.cutover_ns,
            is_mirrored: self.is_mirrored,
            max_shard_set_id: self.max_shard_set_id,
            is_subclustered: self.is_subclustered,
            instances_per_subcluster: self.instances_per_subcluster,
        }
    }
}

impl Instance {
    /// The instance of a message.
    ///
    /// # Errors
    /// [`PlacementError::Malformed`] for a state of a shard that there is not.
    pub fn from_message(message: &placementpb::Instance) -> Result<Self, PlacementError> {
        let mut shards = BTreeMap::new();
        for shard in &message.shards {
            shards.insert(shard.id, Shard::from_message(shard)?);
        }
        Ok(Self {
            id: message.id.clone(),
            isolation_group: message.isolation_group.clone(),
            zone: message.zone.clone(),
            weight: message.weight,
            endpoint: message.endpoint.clone(),
            shards,
            shard_set_id: message.shard_set_id,
            hostname: message.hostname.clone(),
            port: message.port,
            debug_port: message.metadata.as_ref().map_or(0, |metadata| metadata.debug_port),
            subcluster_id: message.subcluster_id,
        })
    }

    fn to_message(&self) -> placementpb::Instance {
        placementpb::Instance {
            id: self.id.clone(),
            isolation_group: self.isolation_group.clone(),
            zone: self.zone.clone(),
            weight: self.weight,
            endpoint: self.endpoint.clone(),
            shards: self.shards.iter().map(|(id, shard)| shard.to_message(*id)).collect(),
            shard_set_id: self.shard_set_id,
            hostname: self.hostname.clone(),
            port: self.port,
            metadata: Some(placementpb::InstanceMetadata { debug_port: self.debug_port }),
            subcluster_id: self.subcluster_id,
        }
    }
}

impl Shard {
    fn from_message(message: &placementpb::Shard) -> Result<Self, PlacementError> {
        let state = match placementpb::ShardState::try_from(message.state) {
            Ok(placementpb::ShardState::Initializing) => ShardState::Initializing,
            Ok(placementpb::ShardState::Available) => ShardState::Available,
            Ok(placementpb::ShardState::Leaving) => ShardState::Leaving,
            Err(_) => return Err(PlacementError::Malformed("invalid proto shard state")),
        };
        Ok(Self {
            state,
            source_id: message.source_id.clone(),
            cutover_ns: message.cutover_nanos,
            cutoff_ns: message.cutoff_nanos,
            redirect_to: message.redirect_to_shard_id,
        })
    }

    fn to_message(&self, id: u32) -> placementpb::Shard {
        let state = match self.state {
            ShardState::Placed | ShardState::Initializing => placementpb::ShardState::Initializing,
            ShardState::Available => placementpb::ShardState::Available,
            ShardState::Leaving => placementpb::ShardState::Leaving,
        };
        placementpb::Shard {
            id,
            state: state.into(),
            source_id: self.source_id.clone(),
            cutover_nanos: self.cutover_ns,
            cutoff_nanos: self.cutoff_ns,
            redirect_to_shard_id: self.redirect_to,
        }
    }
}

/// How a service's placement is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// As it is.
    Plain,
    /// As one that holds from some time on.
    Staged,
}

impl Stored {
    /// The placement as it is stored: a staged one holds at once.
    pub(super) fn active(self, placement: Placement) -> Placement {
        match self {
            Self::Plain => placement,
            Self::Staged => Placement { cutover_ns: 0, ..placement },
        }
    }

    /// The bytes of a value.
    pub(super) fn encode(self, placement: &Placement) -> Vec<u8> {
        match self {
            Self::Plain => placement.to_message().encode_to_vec(),
            Self::Staged => {
                let snapshots = vec![placement.to_message()];
                placementpb::PlacementSnapshots { snapshots, ..Default::default() }.encode_to_vec()
            }
        }
    }

    /// The placement of a value.
    ///
    /// # Errors
    /// [`Error::DamagedValue`], and values that M3 would not take either.
    pub(super) fn decode(self, key: &Key, value: &Value) -> Result<Placement, Error> {
        let message = match self {
            Self::Plain => value.decode(key)?,
            Self::Staged => newest(key, value.decode(key)?)?,
        };
        Placement::from_message(&message)
    }
}

/// The placement that holds last.
fn newest(
    key: &Key,
    staged: placementpb::PlacementSnapshots,
) -> Result<placementpb::Placement, Error> {
    let damaged = |why: String| Error::DamagedValue { key: key.to_string(), why };
    if staged.compress_mode() == placementpb::CompressMode::Zstd {
        let bytes = zstd::bulk::decompress(&staged.compressed_placement, VALUE_BYTES_MAX);
        let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
        let message = placementpb::Placement::decode(&bytes[..]);
        return message.map_err(|error| damaged(error.to_string()));
    }
    let newest = staged.snapshots.into_iter().max_by_key(|placement| placement.cutover_time);
    newest.ok_or_else(|| damaged("placement snapshots is empty".to_owned()))
}
