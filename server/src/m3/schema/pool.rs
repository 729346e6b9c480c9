//! Pools, which all of M3's programs have.

use super::Kind::{Block, Int, List, PoolSize, Share};
use super::{Key, Kind, key};

/// Why pools have no effect.
pub(super) const NO_POOLS: &str = "memory is not kept in pools";

const WATERMARK_KEYS: &[Key] = &[key("low", Share), key("high", Share)];

/// Shares of a pool at which it is filled again.
pub(super) const WATERMARK: Kind = Block(WATERMARK_KEYS);

/// A pool of one kind of object.
pub(super) const OBJECTS: Kind =
    Block(&[key("size", PoolSize).or("4096"), key("watermark", WATERMARK)]);

const BUCKET: Kind = Block(&[key("count", PoolSize), key("capacity", Int)]);

/// A pool of byte slices by capacity.
pub(super) const BUCKETS: Kind =
    Block(&[key("buckets", List(&BUCKET)), key("watermark", WATERMARK)]);

/// Workers that run requests.
pub(super) const WORKERS: Kind = Block(&[
    key("grow", Kind::Bool).or("true"),
    key("size", Int).or("4096"),
    key("shards", Int),
    key("killProbability", Share).or("0.001"),
]);
