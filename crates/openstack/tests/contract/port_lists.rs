//! Lists of ports: filters, fields, pages.

use kuryr_openstack::network::*;

use crate::bench::{Bench, User, address, on_a_bench, same};

/// Ports `one`, `two` and `three` with something in common, pairwise.
async fn three(bench: &Bench) -> [Port; 3] {
    let port = |number: u8, owner: &str, tags: &[&str]| NewPort {
        fixed_ips: vec![bench.at(number)],
        device_id: format!("{}-{number}", bench.name),
        device_owner: owner.to_owned(),
        host_id: (number == 11).then(|| bench.host()),
        mac_address: Some(format!("fa:16:3e:77:00:{number}")),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..bench.new_port()
    };
    let asked = [
        port(11, "compute:kuryr", &["red", "round"]),
        port(12, "compute:kuryr", &["red"]),
        port(13, "compute:other", &["round", "blue"]),
    ];
    bench.neutron().create_ports(&asked).await.unwrap().try_into().unwrap()
}

/// On the case's network: any cloud has other ports too.
fn here(bench: &Bench) -> PortQuery {
    PortQuery { network_id: Some(bench.network.clone()), name: Some(bench.name.clone()), ..PortQuery::default() }
}

#[track_caller]
fn found(ports: Result<Vec<Port>, kuryr_openstack::Error>, expected: &[&Port]) {
    same::<String>(ports.unwrap().into_iter().map(|port| port.id), expected.iter().map(|port| port.id.clone()));
}

#[tokio::test]
async fn each_filter_narrows() {
    on_a_bench(async |bench| {
        let [one, two, three] = &three(bench).await;
        let list = async |query| bench.neutron().list_ports(&query).await;
        found(list(here(bench)).await, &[one, two, three]);
        found(list(PortQuery { id: Some(vec![one.id.clone(), three.id.clone()]), ..here(bench) }).await, &[one, three]);
        let devices = Some(vec![one.device_id.clone(), two.device_id.clone(), "nothing".to_owned()]);
        found(list(PortQuery { device_id: devices.clone(), ..here(bench) }).await, &[one, two]);
        let both = PortQuery { id: Some(vec![two.id.clone(), three.id.clone()]), device_id: devices, ..here(bench) };
        found(list(both).await, &[two]);
        let owner = Some("compute:kuryr".to_owned());
        found(list(PortQuery { device_owner: owner, ..here(bench) }).await, &[one, two]);
        found(list(PortQuery { status: Some(PortStatus::Down), ..here(bench) }).await, &[one, two, three]);
        found(list(PortQuery { status: Some(PortStatus::Active), ..here(bench) }).await, &[]);
        found(list(PortQuery { host_id: Some(bench.host()), ..here(bench) }).await, &[one]);
        found(list(PortQuery { project_id: Some(one.project_id.clone()), ..here(bench) }).await, &[one, two, three]);
        found(list(PortQuery { project_id: Some("0".repeat(32)), ..here(bench) }).await, &[]);
        found(list(PortQuery { mac_address: Some(two.mac_address.clone()), ..here(bench) }).await, &[two]);
        found(list(PortQuery { name: Some("another".to_owned()), ..here(bench) }).await, &[]);
    })
    .await;
}

#[tokio::test]
async fn addresses_are_filters_too() {
    on_a_bench(async |bench| {
        let [one, two, three] = &three(bench).await;
        let list = async |fixed_ips| bench.neutron().list_ports(&PortQuery { fixed_ips, ..here(bench) }).await;
        let subnet = FixedIpFilter::Subnet(bench.subnet.clone());
        found(list(vec![subnet.clone()]).await, &[one, two, three]);
        found(list(vec![FixedIpFilter::Address(address(12))]).await, &[two]);
        found(list(vec![subnet, FixedIpFilter::Address(address(12))]).await, &[two]);
        let either = [11, 13].map(|host| FixedIpFilter::Address(address(host)));
        found(list(either.to_vec()).await, &[one, three]);
        found(list(vec![FixedIpFilter::Address(address(77))]).await, &[]);
    })
    .await;
}

#[tokio::test]
async fn tags_include_and_exclude() {
    on_a_bench(async |bench| {
        let [one, two, three] = &three(bench).await;
        let list = async |tags| bench.neutron().list_ports(&PortQuery { tags, ..here(bench) }).await;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        found(list(TagFilter::all(["red"])).await, &[one, two]);
        found(list(TagFilter::all(["red", "round"])).await, &[one]);
        found(list(TagFilter::all(["red", "blue"])).await, &[]);
        found(list(TagFilter { any: words(&["red", "blue"]), ..Default::default() }).await, &[one, two, three]);
        found(list(TagFilter { not_all: words(&["red", "round"]), ..Default::default() }).await, &[two, three]);
        found(list(TagFilter { not_any: words(&["blue"]), ..Default::default() }).await, &[one, two]);
        let not_blue = TagFilter { not_any: words(&["blue"]), ..TagFilter::all(["round"]) };
        found(list(not_blue).await, &[one]);
    })
    .await;
}

#[tokio::test]
async fn only_the_fields_asked_for_are_answered() {
    on_a_bench(async |bench| {
        let ports = three(bench).await;
        let fields = &["status", "binding:vif_type", "tags"];
        let listed = bench.neutron().list_ports(&PortQuery { fields, ..here(bench) }).await.unwrap();
        assert_eq!(listed.len(), ports.len());
        for port in listed {
            let whole = ports.iter().find(|whole| whole.id == port.id).expect("the id is always there");
            let binding = Binding { vif_type: port.binding.vif_type.clone(), ..Binding::default() };
            assert!(!binding.vif_type.is_empty());
            let mut expected = Port { id: port.id.clone(), status: PortStatus::Down, binding, ..Port::default() };
            expected.tags = port.tags.clone();
            same::<String>(port.tags.clone(), whole.tags.clone());
            assert_eq!(port, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_over_many_pages_is_complete() {
    on_a_bench(async |bench| {
        let asked: Vec<_> = (0..7).map(|_| bench.new_port()).collect();
        let ports = bench.neutron().create_ports(&asked).await.unwrap();
        let expected: Vec<_> = ports.iter().collect();
        for page_size in [1, 2, 7, 8] {
            let cloud =
                bench.cloud_with(kuryr_openstack::CloudSettings { page_size, ..bench.settings(User::Operator) });
            found(cloud.network().list_ports(&here(bench)).await, &expected);
            let query = PortQuery { fields: &["name"], ..here(bench) };
            found(cloud.network().list_ports(&query).await, &expected);
        }
    })
    .await;
}

#[tokio::test]
async fn many_ids_are_found_over_several_requests() {
    on_a_bench(async |bench| {
        let [one, _, three] = &three(bench).await;
        // 500 ids are about 20 kB: more than one request can carry.
        let mut ids: Vec<_> = (0..498).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
        ids.insert(0, one.id.clone());
        ids.push(three.id.clone());
        let query = PortQuery { id: Some(ids), ..PortQuery::default() };
        found(bench.neutron().list_ports(&query).await, &[one, three]);
        found(bench.neutron().list_ports(&PortQuery { id: Some(Vec::new()), ..PortQuery::default() }).await, &[]);
    })
    .await;
}
