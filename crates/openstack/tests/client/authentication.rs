//! One token for all, renewed in time.

use std::time::Duration;

use futures::future::join_all;
use kuryr_openstack::{ApplicationCredential, Auth, CloudSettings, Domain, ErrorKind, Named, Scope};
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

use crate::script::*;

const UNAUTHORIZED: &str = "The request you have made requires authentication.";

fn unauthorized() -> Step {
    answer(401, json!({"error": {"code": 401, "title": "Unauthorized", "message": UNAUTHORIZED}}))
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_ask_for_one_token() {
    let slow = Step::After(Duration::from_secs(3), Box::new(token("t", TOKEN_LIFE)));
    let script = Script::default().keystone([slow]);
    let cloud = script.cloud();
    let calls = join_all((0..100).map(|_| cloud.network().port("p"))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(script.authentications().len(), 1);
    assert!(script.asked().iter().all(|seen| seen.token.as_deref() == Some("t")));
}

#[tokio::test(start_paused = true)]
async fn a_failed_authentication_answers_all_who_waited_for_it() {
    let slow = Step::After(Duration::from_secs(3), Box::new(unauthorized()));
    let script = Script::default().keystone([slow]);
    let cloud = script.cloud();
    for call in join_all((0..10).map(|_| cloud.network().port("p"))).await {
        let error = call.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthorized, UNAUTHORIZED));
        assert!(error.cure().is_some() && !error.outcome_unknown(), "{error:?}");
    }
    assert_eq!(script.authentications().len(), 1);
    assert!(script.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends() {
    let script = Script::default();
    let cloud = script.cloud();
    cloud.network().port("p").await.unwrap();
    advance(TOKEN_LIFE - Duration::from_secs(301)).await;
    cloud.network().port("p").await.unwrap();
    advance(Duration::from_secs(2)).await;
    cloud.network().port("p").await.unwrap();
    let tokens: Vec<_> = script.asked().into_iter().filter_map(|seen| seen.token).collect();
    assert_eq!(tokens, ["token-1", "token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn while_keystone_is_away_the_old_token_serves_to_its_end() {
    let away = vec![Step::Silence; 100];
    let script = Script::default().keystone([token("old", TOKEN_LIFE)]).keystone(away);
    let cloud = script.cloud();
    cloud.network().port("p").await.unwrap();
    advance(TOKEN_LIFE - Duration::from_secs(200)).await;
    let renewing = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.network().port("p").await }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    cloud.network().port("p").await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "only one call waits for the renewal");
    renewing.await.unwrap().unwrap();
    advance(Duration::from_secs(200)).await;
    let error = cloud.network().port("p").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_for_all_calls() {
    // Slow, so that all are under way before the first is refused.
    let refused = Step::After(Duration::from_secs(1), Box::new(unauthorized()));
    let script = Script::neutron(vec![refused; 16]);
    let cloud = script.cloud();
    let calls = join_all((0..16).map(|_| cloud.network().port("p"))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(script.authentications().len(), 2);
    let last: Vec<_> = script.asked().split_off(16).into_iter().filter_map(|seen| seen.token).collect();
    assert_eq!(last, vec!["token-2"; 16]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_refused_is_an_error() {
    let script = Script::neutron(vec![unauthorized(); 9]);
    let error = script.cloud().network().port("p").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!((script.asked().len(), script.authentications().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_not_tried_at_every_call() {
    let script = Script::default().keystone(vec![unauthorized(); 100]);
    let cloud = script.cloud();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        cloud.authenticate().await.unwrap_err();
        sleep(Duration::from_millis(100)).await;
    }
    let attempts = script.authentications().len();
    assert!((6..=9).contains(&attempts), "{attempts} attempts: 0, 1, 3, 7, 15, 31, 61, 91 s");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_become_good_are_tried_again() {
    let script = Script::default().keystone([unauthorized()]);
    let cloud = script.cloud();
    cloud.authenticate().await.unwrap_err();
    sleep(Duration::from_millis(1100)).await;
    cloud.authenticate().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_does_not_take_the_others_with_it() {
    let slow = Step::After(Duration::from_secs(3), Box::new(token("t", TOKEN_LIFE)));
    let script = Script::default().keystone([Step::Silence, slow]);
    let cloud = script.cloud();
    let given_up = tokio::time::timeout(Duration::from_secs(1), cloud.authenticate()).await;
    assert!(given_up.is_err());
    // Nobody waits for the first attempt any more: a new one is made.
    cloud.authenticate().await.unwrap();

    let slow = Step::After(Duration::from_secs(3), Box::new(token("t", TOKEN_LIFE)));
    let script = Script::default().keystone([slow, Step::Silence]);
    let cloud = script.cloud();
    let first = tokio::time::timeout(Duration::from_secs(1), cloud.authenticate());
    let (first, second) = tokio::join!(first, cloud.authenticate());
    assert!(first.is_err());
    second.unwrap();
    assert_eq!(script.authentications().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn keystone_may_be_late_to_come_up() {
    let script = Script::default().keystone([Step::NotSent, Step::Lost, answer(503, json!({}))]);
    script.cloud().authenticate().await.unwrap();
    assert_eq!(script.authentications().len(), 4);
}

async fn sent(auth: Auth) -> Seen {
    let script = Script::default();
    script.cloud_with(CloudSettings { auth, ..settings() }).authenticate().await.unwrap();
    script.authentications().remove(0)
}

#[tokio::test(start_paused = true)]
async fn credentials_are_written_as_keystone_reads_them() {
    let user = Named::Name { name: "me".to_owned(), domain: Domain::Name("Default".to_owned()) };
    let password = |scope| Auth::Password { user: user.clone(), password: "s3cret".into(), scope };
    let by_password = json!({"methods": ["password"], "password": {"user": {
        "name": "me", "domain": {"name": "Default"}, "password": "s3cret"}}});
    for (scope, expected) in [
        (Scope::Project(Named::Id("p1".to_owned())), json!({"project": {"id": "p1"}})),
        (Scope::Domain(Domain::Id("d1".to_owned())), json!({"domain": {"id": "d1"}})),
        (Scope::System, json!({"system": {"all": true}})),
        (Scope::Trust("t1".to_owned()), json!({"OS-TRUST:trust": {"id": "t1"}})),
    ] {
        let seen = sent(password(scope)).await;
        assert_eq!(seen.body, json!({"auth": {"identity": by_password, "scope": expected}}));
        assert_eq!((seen.url.as_str(), seen.token), ("http://keystone/v3/auth/tokens", None));
    }
    assert_eq!(sent(password(Scope::Default)).await.body, json!({"auth": {"identity": by_password}}));

    let credential = |credential| Auth::ApplicationCredential { credential, secret: "s".into() };
    let by_credential = |body| {
        json!({"auth": {"identity": {
        "methods": ["application_credential"], "application_credential": body}}})
    };
    let seen = sent(credential(ApplicationCredential::Id("ac".to_owned()))).await;
    assert_eq!(seen.body, by_credential(json!({"id": "ac", "secret": "s"})));
    let user = Named::Id("u1".to_owned());
    let seen = sent(credential(ApplicationCredential::Name { name: "ac".to_owned(), user })).await;
    assert_eq!(seen.body, by_credential(json!({"name": "ac", "user": {"id": "u1"}, "secret": "s"})));

    let scope = Some(Scope::Project(Named::Id("p1".to_owned())));
    let seen = sent(Auth::Token { token: "t".into(), scope }).await;
    let by_token = json!({"methods": ["token"], "token": {"id": "t"}});
    assert_eq!(seen.body, json!({"auth": {"identity": by_token, "scope": {"project": {"id": "p1"}}}}));
    let seen = sent(Auth::Token { token: "t".into(), scope: None }).await;
    assert_eq!((seen.method, seen.token.as_deref()), (http::Method::GET, Some("t")));
}
