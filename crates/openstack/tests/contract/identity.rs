//! Keystone.

use kuryr_openstack::{ApplicationCredential, Auth, CloudSettings, ErrorKind, Named, Secret};

use crate::bench::{User, on_a_bench, refused};

#[tokio::test]
async fn a_token_says_who_we_are() {
    on_a_bench(async |bench| {
        let operator = bench.cloud.authenticate().await.unwrap();
        assert!(operator.project_id.is_some() && !operator.user_id.is_empty());
        assert!(operator.roles.iter().any(|role| role == "admin"), "{operator:?}");
        assert!(operator.expires_at.unwrap() > jiff::Timestamp::now());
        let tenant = bench.cloud_of(User::Tenant).authenticate().await.unwrap();
        assert_eq!(tenant.project_id, operator.project_id);
        assert!(!tenant.roles.iter().any(|role| role == "admin"), "{tenant:?}");
        let stranger = bench.cloud_of(User::Stranger).authenticate().await.unwrap();
        assert_ne!(stranger.project_id, operator.project_id);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    on_a_bench(async |bench| {
        let mut settings = bench.settings(User::Stranger);
        let Auth::Password { password, .. } = &mut settings.auth else { panic!("a password is expected") };
        *password = Secret::new("wrong");
        let cloud = bench.cloud_with(settings);
        let error = refused(cloud.authenticate().await, ErrorKind::Unauthorized, "Unauthorized");
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_token_serves_as_credentials() {
    on_a_bench(async |bench| {
        let mut settings = bench.settings(User::Tenant);
        let Auth::Password { password, scope, .. } = &settings.auth else { panic!("a password is expected") };
        // A wrong token first: Keystone answers its own way to those.
        for scope in [None, Some(scope.clone())] {
            let auth = Auth::Token { token: password.clone(), scope };
            let cloud = bench.cloud_with(CloudSettings { auth, ..settings.clone() });
            assert_eq!(cloud.authenticate().await.unwrap_err().kind(), ErrorKind::Unauthorized);
        }
        settings.auth = Auth::Token { token: bench.cloud_of(User::Tenant).token().await.unwrap(), scope: None };
        let cloud = bench.cloud_with(settings);
        let us = cloud.authenticate().await.unwrap();
        assert_eq!(
            us,
            bench
                .cloud_of(User::Tenant)
                .authenticate()
                .await
                .map(|info| kuryr_openstack::AuthInfo { expires_at: us.expires_at, ..info })
                .unwrap()
        );
        cloud.network().network(&bench.network).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_application_credential_stands_for_its_owner() {
    on_a_bench(async |bench| {
        let owner = bench.cloud_of(User::Tenant).authenticate().await.unwrap();
        let (id, secret) = bench.application_credential(User::Tenant).await;
        let user = Named::Id(owner.user_id.clone());
        let by_name = ApplicationCredential::Name { name: bench.name.clone(), user };
        for credential in [ApplicationCredential::Id(id.clone()), by_name] {
            let auth = Auth::ApplicationCredential { credential, secret: secret.as_str().into() };
            let cloud = bench.cloud_with(CloudSettings { auth, ..bench.settings(User::Tenant) });
            let us = cloud.authenticate().await.unwrap();
            assert_eq!((us.user_id, us.project_id), (owner.user_id.clone(), owner.project_id.clone()));
            cloud.network().network(&bench.network).await.unwrap();
        }
        let credential = ApplicationCredential::Id(id.clone());
        let auth = Auth::ApplicationCredential { credential, secret: "wrong".into() };
        let cloud = bench.cloud_with(CloudSettings { auth, ..bench.settings(User::Tenant) });
        refused(cloud.authenticate().await, ErrorKind::Unauthorized, "Unauthorized");
        bench.forget_application_credential(User::Tenant, &id).await;
    })
    .await;
}

#[tokio::test]
async fn projects_are_found_by_id_and_by_name() {
    on_a_bench(async |bench| {
        let own = bench.cloud.authenticate().await.unwrap();
        let other = bench.cloud_of(User::Stranger).authenticate().await.unwrap();
        for project in [own, other] {
            let (id, name) = (project.project_id.unwrap(), project.project_name.unwrap());
            assert_eq!(bench.cloud.project(&id).await.unwrap().name, name);
            assert_eq!(bench.cloud.project(&name).await.unwrap().id, id);
        }
        let error = bench.cloud.project(&bench.name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_user_without_rights_still_finds_its_own_project() {
    on_a_bench(async |bench| {
        let cloud = bench.cloud_of(User::Stranger);
        let own = cloud.authenticate().await.unwrap().project_name.unwrap();
        assert_eq!(cloud.project(&own).await.unwrap().name, own);
        let other = bench.cloud.authenticate().await.unwrap().project_id.unwrap();
        assert_eq!(cloud.project(&other).await.unwrap_err().kind(), ErrorKind::Forbidden);
    })
    .await;
}

#[tokio::test]
async fn a_project_that_does_not_exist_gives_no_token() {
    on_a_bench(async |bench| {
        let mut settings = bench.settings(User::Tenant);
        let Auth::Password { scope, .. } = &mut settings.auth else { panic!("a password is expected") };
        *scope = kuryr_openstack::Scope::Project(Named::Id(bench.name.clone()));
        let cloud = bench.cloud_with(settings);
        refused(cloud.authenticate().await, ErrorKind::Unauthorized, "Unauthorized");
    })
    .await;
}
