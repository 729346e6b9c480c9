//! Bounds on what clients may make the cluster's state hold.
//!
//! They are far above what a cluster needs, and keep one client from filling memory or the disk.

/// Bytes of a key, its zone and namespace included.
pub const KEY_BYTES_MAX: usize = 1024;

/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// Keys of a store.
pub const KEYS_MAX: usize = 1024;

/// Bytes of all values of a store, old versions included.
pub const STORE_BYTES_MAX: usize = 256 << 20;

/// Versions of a key that can still be read; the newest one is always among them.
pub const VERSIONS_KEPT_MAX: usize = 32;

/// Shards of a placement or of a topic.
pub const SHARDS_MAX: u32 = 65_536;

/// Instances of a placement, and of a request.
pub const INSTANCES_MAX: usize = 4096;

/// Shards of all instances of a placement together.
pub const SHARD_COPIES_MAX: usize = 1 << 19;

/// Shards of all instances, times instances: what spreading them may cost.
pub const PLACEMENT_STEPS_MAX: usize = 1 << 26;

/// The largest weight of an instance.
pub const WEIGHT_MAX: u32 = 1 << 20;

/// Steps of the search for instances that replace a given weight: weight times instances.
pub const REPLACE_STEPS_MAX: usize = 1 << 22;

/// Namespaces of a registry.
pub const NAMESPACES_MAX: usize = 1024;

/// Consumers of a topic.
pub const CONSUMERS_MAX: usize = 1024;

/// Schemas of a namespace.
pub const SCHEMAS_MAX: usize = 64;

/// Files of a schema.
pub const SCHEMA_FILES_MAX: usize = 64;
