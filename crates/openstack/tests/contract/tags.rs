//! Tags, and the extensions we count on.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{on_a_bench, refused, same};

#[tokio::test]
async fn tags_are_replaced_on_every_kind_of_resource() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let port = bench.port().await;
        let group = bench.security_group().await;
        let router = NewRouter { name: bench.name.clone(), ..NewRouter::default() };
        let router = neutron.create_router(&router).await.unwrap();
        let trunk = NewTrunk { port_id: port.id.clone(), name: bench.name.clone(), ..NewTrunk::default() };
        let trunk = neutron.create_trunk(&trunk).await.unwrap();
        let pool = NewSubnetPool {
            name: bench.name.clone(),
            prefixes: vec!["10.91.0.0/24".parse().unwrap()],
            ..NewSubnetPool::default()
        };
        let pool = neutron.create_subnet_pool(&pool).await.unwrap();
        for (kind, id) in [
            (Taggable::Network, &bench.network),
            (Taggable::Subnet, &bench.subnet),
            (Taggable::Port, &port.id),
            (Taggable::SecurityGroup, &group.id),
            (Taggable::Router, &router.id),
            (Taggable::Trunk, &trunk.id),
            (Taggable::SubnetPool, &pool.id),
        ] {
            let replace = async |tags: &[&str]| {
                let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
                neutron.replace_tags(kind, id, &tags).await.unwrap()
            };
            same::<String>(replace(&["one", "two words", "a=b:c/d"]).await, ["a=b:c/d", "one", "two words"]);
            same::<String>(replace(&["two words"]).await, ["two words"]);
        }
        assert_eq!(neutron.port(&port.id).await.unwrap().tags, ["two words"]);
        let query = PortQuery { tags: TagFilter::all(["two words"]), ..PortQuery::default() };
        assert!(neutron.list_ports(&query).await.unwrap().iter().any(|found| found.id == port.id));
        assert!(neutron.replace_tags(Taggable::Port, &port.id, &[]).await.unwrap().is_empty());
        neutron.delete_trunk(&trunk.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn tags_need_something_to_be_on() {
    on_a_bench(async |bench| {
        let result = bench.neutron().replace_tags(Taggable::Port, &bench.network, &["one".to_owned()]).await;
        refused(result, ErrorKind::NotFound, "TagResourceNotFound");
        let port = bench.port().await;
        let result = bench.neutron().replace_tags(Taggable::Port, &port.id, &["t".repeat(300)]).await;
        refused(result, ErrorKind::BadRequest, "InvalidInput");
    })
    .await;
}

#[tokio::test]
async fn the_extensions_we_count_on_are_there() {
    on_a_bench(async |bench| {
        let extensions = bench.neutron().extensions().await.unwrap();
        for alias in [
            "allowed-address-pairs",
            "binding",
            "net-mtu-writable",
            "port-security",
            "quota_details",
            "revision-if-match",
            "router",
            "security-group",
            "standard-attr-description",
            "standard-attr-revisions",
            "standard-attr-tag",
            "standard-attr-timestamp",
            "subnet_allocation",
            "trunk",
            "trunk-details",
        ] {
            assert!(extensions.contains(alias), "{alias} is not among {extensions:?}");
        }
    })
    .await;
}
