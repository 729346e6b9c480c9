//! Metadata: taken from writes, told by `/metadata`.

use serde_json::json;

use crate::client::{get, post_write};
use crate::fakes::World;
use crate::messages::{MetricMetadata, WriteRequest, body};

fn entry(family: &str, kind: i32, help: &str) -> MetricMetadata {
    MetricMetadata {
        r#type: kind,
        metric_family_name: family.into(),
        help: help.into(),
        unit: "seconds".into(),
    }
}

#[tokio::test]
async fn metadata_is_remembered() {
    let world = World::new();
    let metadata = vec![entry("b", 1, "B"), entry("a", 3, "A"), entry("b", 1, "other")];
    let bytes = body(&WriteRequest { timeseries: Vec::new(), metadata });
    assert_eq!(post_write(&world.router, "/api/v1/write", bytes).await.status, 204);
    let of = |kind: &str, help: &str| json!({ "type": kind, "help": help, "unit": "seconds" });
    let a = json!([of("histogram", "A")]);
    let b = json!([of("counter", "B"), of("counter", "other")]);
    for (path, wanted) in [
        ("metadata", json!({ "a": a, "b": b })),
        ("metadata?metric=b", json!({ "b": b })),
        ("metadata?metric=x", json!({})),
        ("metadata?limit=1", json!({ "a": a })),
        ("metadata?limit=0", json!({})),
        ("metadata?limit=-1", json!({ "a": a, "b": b })),
        ("metadata?metric=b&limit_per_metric=1", json!({ "b": [of("counter", "B")] })),
        ("metadata?metric=b&limit_per_metric=0", json!({ "b": b })),
    ] {
        let answer = get(&world.router, &format!("/api/v1/{path}")).await;
        assert_eq!(answer.json(), json!({ "status": "success", "data": wanted }), "{path}");
    }
    let answer = get(&world.router, "/api/v1/metadata?limit=x").await;
    assert_eq!(answer.json()["error"], "limit must be a number");
    assert_eq!(answer.status, 400);
}
