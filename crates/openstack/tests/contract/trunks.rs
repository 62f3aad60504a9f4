//! Trunks and subports.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{Bench, on_a_bench, refused};

async fn trunk(bench: &Bench) -> Trunk {
    let parent = bench.port().await;
    let asked = NewTrunk { port_id: parent.id, name: bench.name.clone(), ..NewTrunk::default() };
    bench.neutron().create_trunk(&asked).await.unwrap()
}

#[tokio::test]
async fn subports_come_and_go() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let trunk = trunk(bench).await;
        assert!(trunk.sub_ports.is_empty());
        let asked = [bench.new_port(), bench.new_port(), bench.new_port()];
        let ports = neutron.create_ports(&asked).await.unwrap();
        let subports: Vec<_> = ports.iter().zip(100..).map(|(port, vlan)| SubPort::vlan(&port.id, vlan)).collect();

        let mut full = neutron.add_subports(&trunk.id, &subports).await.unwrap();
        full.sub_ports.sort_by_key(|subport| subport.segmentation_id);
        assert_eq!(full.sub_ports, subports);
        let parent = neutron.port(&trunk.port_id).await.unwrap();
        let details = parent.trunk_details.unwrap();
        assert_eq!((details.trunk_id.as_str(), details.sub_ports.len()), (&*trunk.id, 3));
        assert_eq!(neutron.port(&ports[0].id).await.unwrap().device_owner, "trunk:subport");

        let [first, second, third] = [0, 1, 2].map(|n| subports[n].port_id.clone());
        neutron.remove_subports(&trunk.id, &[first.clone(), second]).await.unwrap();
        let shown = neutron.trunk(&trunk.id).await.unwrap();
        assert_eq!(shown.sub_ports, std::slice::from_ref(&subports[2]));
        let again = neutron.remove_subports(&trunk.id, &[first]).await;
        refused(again, ErrorKind::NotFound, "SubPortNotFound");
        refused(neutron.delete_port(&third).await, ErrorKind::Conflict, "PortInUseAsSubPort");
        refused(neutron.delete_port(&trunk.port_id).await, ErrorKind::Conflict, "PortInUseAsTrunkParent");
        neutron.delete_trunk(&trunk.id).await.unwrap();
        refused(neutron.trunk(&trunk.id).await, ErrorKind::NotFound, "TrunkNotFound");
        neutron.delete_port(&third).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn subports_are_added_together_or_not_at_all() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let trunk = trunk(bench).await;
        let (one, two) = (bench.port().await, bench.port().await);
        neutron.add_subports(&trunk.id, &[SubPort::vlan(&one.id, 7)]).await.unwrap();
        let same_vlan = neutron.add_subports(&trunk.id, &[SubPort::vlan(&two.id, 7)]).await;
        refused(same_vlan, ErrorKind::Conflict, "DuplicateSubPort");
        let same_port = [SubPort::vlan(&two.id, 8), SubPort::vlan(&one.id, 9)];
        let same_port = neutron.add_subports(&trunk.id, &same_port).await;
        refused(same_port, ErrorKind::Conflict, "TrunkPortInUse");
        let parent = neutron.add_subports(&trunk.id, &[SubPort::vlan(&trunk.port_id, 10)]).await;
        refused(parent, ErrorKind::Conflict, "ParentPortInUse");
        let no_port = neutron.add_subports(&trunk.id, &[SubPort::vlan(&bench.network, 11)]).await;
        refused(no_port, ErrorKind::NotFound, "PortNotFound");
        let no_vlan = neutron.add_subports(&trunk.id, &[SubPort::vlan(&two.id, 4095)]).await;
        refused(no_vlan, ErrorKind::BadRequest, "InvalidInput");
        assert_eq!(neutron.trunk(&trunk.id).await.unwrap().sub_ports, [SubPort::vlan(&one.id, 7)]);
    })
    .await;
}

#[tokio::test]
async fn trunks_are_listed_by_what_they_are() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let (one, two) = (trunk(bench).await, trunk(bench).await);
        neutron.replace_tags(Taggable::Trunk, &two.id, &["red".to_owned()]).await.unwrap();
        let list = async |query| {
            let trunks = neutron.list_trunks(&query).await.unwrap();
            trunks.into_iter().map(|trunk| trunk.id).collect::<Vec<_>>()
        };
        let here = || TrunkQuery { name: Some(bench.name.clone()), ..TrunkQuery::default() };
        assert_eq!(list(here()).await.len(), 2);
        let by_parent = TrunkQuery { port_id: Some(vec![one.port_id.clone()]), ..here() };
        assert_eq!(list(by_parent).await, [one.id]);
        assert_eq!(list(TrunkQuery { tags: TagFilter::all(["red"]), ..here() }).await, [two.id]);
    })
    .await;
}
