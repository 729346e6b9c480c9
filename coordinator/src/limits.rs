//! Named limits of the edge. Every refusal names the limit and its value.

use std::time::Duration;

/// What a label set may be. Checked once for each new series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLimits {
    /// The most labels of one series (`ingest.labels_max`).
    pub labels_max: usize,
    /// The longest label name, in bytes (`ingest.label_name_bytes_max`).
    pub name_bytes_max: usize,
    /// The longest label value, in bytes (`ingest.label_value_bytes_max`).
    pub value_bytes_max: usize,
    /// The longest label set as it stands in a request, in bytes
    /// (`ingest.label_set_bytes_max`).
    pub set_bytes_max: usize,
    /// The most symbols of a Remote Write 2.0 request (`ingest.symbols_max`). Each takes some 50
    /// bytes while the request is at work, however short it is.
    pub symbols_max: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self {
            labels_max: 128,
            name_bytes_max: 1024,
            value_bytes_max: 65_535,
            set_bytes_max: 65_535,
            symbols_max: 1 << 20,
        }
    }
}

/// Limits of write requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    /// The largest body as sent, in bytes (`ingest.body_bytes_max`).
    pub body_bytes_max: usize,
    /// The largest body after decompression, in bytes (`ingest.decoded_bytes_max`).
    pub decoded_bytes_max: usize,
    /// The longest line of a format of lines, in bytes (`ingest.line_bytes_max`). A longer one is
    /// refused, the others are taken.
    pub line_bytes_max: usize,
    /// How many bytes of lines are taken and written at once (`ingest.piece_bytes_max`).
    pub piece_bytes_max: usize,
    /// The most write requests at work at a time (`ingest.in_flight_max`). The next one is
    /// answered 503 with `Retry-After`.
    pub in_flight_max: usize,
    /// How long a body may take to arrive (`ingest.body_timeout`).
    pub body_timeout: Duration,
    /// How many refused series are told in the answer; the rest are counted
    /// (`ingest.refusals_told_max`).
    pub refusals_told_max: usize,
    /// What a label set may be.
    pub labels: LabelLimits,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            line_bytes_max: 10 << 20,
            piece_bytes_max: 1 << 20,
            in_flight_max: 512,
            body_timeout: Duration::from_secs(30),
            refusals_told_max: 10,
            labels: LabelLimits::default(),
        }
    }
}

/// Limits of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtlpLimits {
    /// How deep lists in the value of an attribute may be nested (`otlp.attribute_depth_max`).
    pub attribute_depth_max: usize,
    /// The most samples of `target_info` for one resource of a request
    /// (`otlp.target_info_samples_max`).
    pub target_info_samples_max: u64,
    /// The most memory for totals of delta series, in bytes (`otlp.delta_state_bytes_max`).
    pub delta_state_bytes_max: u64,
    /// How long a delta series may be quiet before its total is forgotten (`otlp.delta_idle`).
    pub delta_idle: Duration,
}

impl Default for OtlpLimits {
    fn default() -> Self {
        Self {
            attribute_depth_max: 32,
            target_info_samples_max: 1000,
            delta_state_bytes_max: 256 << 20,
            delta_idle: Duration::from_secs(3600),
        }
    }
}

/// Limits of queries, as seen from HTTP. The engine has its own for samples and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// The longest query or selector text, in bytes (`query.text_bytes_max`).
    pub text_bytes_max: usize,
    /// The most queries at work at a time (`query.concurrent_max`).
    pub concurrent_max: usize,
    /// How long a query may wait for its turn (`query.queue_timeout`).
    pub queue_timeout: Duration,
    /// How long a query may run; a smaller `timeout` parameter wins (`query.timeout`).
    pub timeout: Duration,
    /// The most points of one series of a range query after the first (`query.steps_max`).
    pub points_max: u64,
    /// The largest form body, in bytes (`query.body_bytes_max`).
    pub body_bytes_max: usize,
    /// The most `match[]` parameters of one request (`query.selectors_max`).
    pub selectors_max: usize,
    /// Queries that take this long or longer are logged (`query.log_slower_than`); 0 logs all.
    pub log_slower_than: Duration,
    /// The most texts of queries whose cost is remembered (`query.history_texts_max`).
    pub history_texts_max: usize,
    /// The most series that one selector of a query for exemplars may match
    /// (`query.exemplar_series_max`).
    pub exemplar_series_max: usize,
    /// The most series that one selector of an export may match (`query.export_series_max`).
    pub export_series_max: usize,
    /// The most series that one selector of a federation may match
    /// (`query.federate_series_max`).
    pub federate_series_max: usize,
    /// Bytes of results of range queries that are kept, if they are (`query.result_cache_bytes`).
    pub result_cache_bytes: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            text_bytes_max: 1 << 20,
            concurrent_max: 20,
            queue_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            points_max: 11_000,
            body_bytes_max: 10 << 20,
            selectors_max: 1000,
            log_slower_than: Duration::from_secs(5),
            history_texts_max: 1000,
            exemplar_series_max: 1_000_000,
            export_series_max: 10_000_000,
            federate_series_max: 1_000_000,
            result_cache_bytes: 64 << 20,
        }
    }
}

/// Limits of HTTP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// The most connections at a time (`http.connections_max`); further ones wait in the kernel.
    pub connections_max: usize,
    /// How long a connection may take to send a request's head, idle time included
    /// (`http.header_timeout`).
    pub header_timeout: Duration,
    /// How long the other end may take nothing of an answer (`http.write_timeout`).
    pub write_timeout: Duration,
    /// The most header fields of a request (`http.headers_max`).
    pub headers_max: usize,
    /// The largest read buffer of a connection, which also bounds a request's head, in bytes
    /// (`http.read_buffer_bytes_max`).
    pub read_buffer_bytes_max: usize,
    /// How long requests may go on after shutdown began (`http.drain_timeout`).
    pub drain_timeout: Duration,
    /// The most requests at work at a time on one connection of HTTP/2 (`http.streams_max`).
    pub streams_max: u32,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(60),
            headers_max: 100,
            read_buffer_bytes_max: 512 << 10,
            drain_timeout: Duration::from_secs(20),
            streams_max: 64,
        }
    }
}

/// Limits of remote read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReadLimits {
    /// The most requests at work at a time (`read.concurrent_max`); further ones wait.
    pub concurrent_max: usize,
    /// The largest body, as sent and decompressed, in bytes (`read.body_bytes_max`).
    pub body_bytes_max: usize,
    /// The most queries of a request (`read.queries_max`).
    pub queries_max: usize,
    /// The most matchers of a request (`read.matchers_max`).
    pub matchers_max: usize,
    /// The most series of a query (`read.series_max`).
    pub series_max: usize,
    /// The most samples of a query whose answer is one message (`read.samples_max`).
    pub samples_max: u64,
    /// The largest frame of streamed chunks, in bytes; a chunk that is larger has a frame of its
    /// own (`read.frame_bytes_max`).
    pub frame_bytes_max: usize,
}

/// Prometheus's defaults where it has one.
impl Default for RemoteReadLimits {
    fn default() -> Self {
        Self {
            concurrent_max: 10,
            body_bytes_max: 32 << 20,
            queries_max: 1000,
            matchers_max: 10_000,
            series_max: 10_000_000,
            samples_max: 50_000_000,
            frame_bytes_max: 1 << 20,
        }
    }
}

/// All limits of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of all bodies that come in pieces, from their first piece until they were
    /// read (`http.bodies_bytes_max`).
    pub bodies_bytes_max: usize,
    /// Write requests.
    pub write: WriteLimits,
    /// OTLP.
    pub otlp: OtlpLimits,
    /// Queries.
    pub query: QueryLimits,
    /// Remote read.
    pub read: RemoteReadLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bodies_bytes_max: 512 << 20,
            write: WriteLimits::default(),
            otlp: OtlpLimits::default(),
            query: QueryLimits::default(),
            read: RemoteReadLimits::default(),
        }
    }
}
