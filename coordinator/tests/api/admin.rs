//! Deletion, clean-up and backups over HTTP.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::{Request, StatusCode};
use m3rs_tsdb::InMemory;

use crate::client::{get, post_form, send};
use crate::fakes::World;

const DELETE: &str = "/api/v1/admin/tsdb/delete_series";
const CLEAN: &str = "/api/v1/admin/tsdb/clean_tombstones";
const SNAPSHOT: &str = "/api/v1/admin/tsdb/snapshot";

#[tokio::test]
async fn series_are_deleted_in_a_range() {
    let world = World::new();
    let form = "match[]=job%3Da&match[]=job%3Db&start=1&end=2.5";
    let answer = post_form(&world.router, DELETE, form).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
    let put = Request::put(format!("{DELETE}?match[]=job%3Da")).body(Body::empty()).expect("valid");
    assert_eq!(send(&world.router, put).await.status, StatusCode::NO_CONTENT);
    let deleted = world.control.deleted.lock();
    assert_eq!((deleted[0].0.len(), deleted[0].1, deleted[0].2), (2, 1000, 2500));
    assert_eq!((deleted[1].0.len(), deleted[1].1, deleted[1].2), (1, i64::MIN, i64::MAX));
}

#[tokio::test]
async fn wrong_requests_delete_nothing() {
    let world = World::new();
    for (query, says) in [
        ("", "no match[] parameter provided"),
        ("?match[]=up&start=soon", "invalid time value for 'start'"),
        ("?match[]=%7B", "match[]"),
    ] {
        let answer = post_form(&world.router, &format!("{DELETE}{query}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(get(&world.router, DELETE).await.status, StatusCode::METHOD_NOT_ALLOWED);
    world.control.ready.store(false, Ordering::Relaxed);
    let answer = post_form(&world.router, DELETE, "match[]=job%3Da").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.control.deleted.lock().is_empty());
}

#[tokio::test]
async fn tombstones_are_cleaned_and_backups_named() {
    let world = World::new();
    let answer = post_form(&world.router, CLEAN, "").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(world.control.cleaned.load(Ordering::Relaxed), 1);
    for (query, in_memory) in [("", InMemory::Flushed), ("?skip_head=true", InMemory::LeftOut)] {
        let answer = post_form(&world.router, &format!("{SNAPSHOT}{query}"), "").await;
        assert_eq!(answer.status, StatusCode::OK);
        let name = answer.json()["data"]["name"].as_str().expect("a name").to_owned();
        // The time of the fake clock, then 63 random bits.
        assert!(name.starts_with("20240101T000000Z-") && name.len() == 33, "{name}");
        assert_eq!(world.control.backups.lock().last(), Some(&(name, in_memory)));
    }
    let answer = post_form(&world.router, &format!("{SNAPSHOT}?skip_head=maybe"), "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("skip_head"), "{}", answer.text());
}

#[tokio::test]
async fn without_leave_nothing_is_done() {
    let world = World::without_admin();
    for (path, form) in [(DELETE, "match[]=job%3Da"), (CLEAN, ""), (SNAPSHOT, "")] {
        let answer = post_form(&world.router, path, form).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["errorType"], "unavailable");
        assert!(answer.text().contains("admin APIs disabled"), "{}", answer.text());
    }
    assert!(world.control.backups.lock().is_empty());
}
