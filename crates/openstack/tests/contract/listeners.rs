//! Listeners, pools, members and health monitors.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::load_balancing::*;

use crate::bench::{Bench, address, on_a_bench, refused};
use crate::load_balancers::{load_balancer, new_load_balancer};

fn new_listener(balancer: &str, protocol: ListenerProtocol, port: u16) -> NewListener {
    NewListener {
        loadbalancer_id: Some(balancer.to_owned()),
        name: format!("{protocol:?}-{port}"),
        protocol,
        protocol_port: port,
        ..NewListener::default()
    }
}

fn new_pool(listener: &str) -> NewPool {
    NewPool {
        listener_id: Some(listener.to_owned()),
        name: "pool".to_owned(),
        protocol: PoolProtocol::Tcp,
        lb_algorithm: LbAlgorithm::SourceIpPort,
        ..NewPool::default()
    }
}

fn new_member(bench: &Bench, host: u8, port: u16) -> NewMember {
    NewMember {
        address: address(host),
        protocol_port: port,
        subnet_id: Some(bench.subnet.clone()),
        name: format!("member-{host}"),
        weight: None,
        tags: Vec::new(),
    }
}

async fn listener(bench: &Bench, balancer: &str, protocol: ListenerProtocol, port: u16) -> Listener {
    let made = bench.octavia().create_listener(&new_listener(balancer, protocol, port)).await.expect("a listener");
    bench.settled(balancer).await;
    bench.octavia().listener(&made.id).await.expect("the listener")
}

async fn pool(bench: &Bench, balancer: &str) -> Pool {
    let listener = listener(bench, balancer, ListenerProtocol::Tcp, 80).await;
    let made = bench.octavia().create_pool(&new_pool(&listener.id)).await.expect("a pool");
    bench.settled(balancer).await;
    bench.octavia().pool(&made.id).await.expect("the pool")
}

#[tokio::test]
async fn a_port_is_listened_on_once_for_each_protocol() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let tcp = listener(bench, &balancer, ListenerProtocol::Tcp, 53).await;
        assert_eq!(tcp.provisioning_status, ProvisioningStatus::Active);
        assert_eq!(
            (tcp.protocol, tcp.protocol_port, tcp.default_pool_id.as_deref()),
            (ListenerProtocol::Tcp, 53, None)
        );
        assert_eq!(tcp.loadbalancers, [Reference { id: balancer.clone() }]);
        listener(bench, &balancer, ListenerProtocol::Udp, 53).await;
        let again = bench.octavia().create_listener(&new_listener(&balancer, ListenerProtocol::Tcp, 53)).await;
        refused(again, ErrorKind::Conflict, "");
        bench.settled(&balancer).await;
        let on_it = ListenerQuery { load_balancer_id: Some(balancer.clone()), ..ListenerQuery::default() };
        assert_eq!(bench.octavia().list_listeners(&on_it).await.expect("a list").len(), 2);
        bench.octavia().delete_listener(&tcp.id).await.expect("deleted");
        bench.settled(&balancer).await;
        assert_eq!(bench.octavia().list_listeners(&on_it).await.expect("a list").len(), 1);
        refused(bench.octavia().listener(&tcp.id).await, ErrorKind::NotFound, "");
    })
    .await;
}

#[tokio::test]
async fn ovn_refuses_what_it_cannot_do() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let http = bench.octavia().create_listener(&new_listener(&balancer, ListenerProtocol::Http, 80)).await;
        let error = refused(http, ErrorKind::BadRequest, "");
        assert!(error.message().contains("does not support HTTP protocol"), "{error}");
        let cidrs = NewListener {
            allowed_cidrs: Some(vec!["10.0.0.0/8".parse().expect("a prefix")]),
            ..new_listener(&balancer, ListenerProtocol::Tcp, 80)
        };
        refused(bench.octavia().create_listener(&cidrs).await, ErrorKind::BadRequest, "");
        let listener = listener(bench, &balancer, ListenerProtocol::Tcp, 80).await;
        let robin = NewPool { lb_algorithm: LbAlgorithm::RoundRobin, ..new_pool(&listener.id) };
        let error = refused(bench.octavia().create_pool(&robin).await, ErrorKind::BadRequest, "");
        assert!(error.message().contains("ROUND_ROBIN"), "{error}");
        let udp = NewPool { protocol: PoolProtocol::Udp, ..new_pool(&listener.id) };
        refused(bench.octavia().create_pool(&udp).await, ErrorKind::BadRequest, "");
        assert_eq!(bench.settled(&balancer).await.pools, []);
    })
    .await;
}

#[tokio::test]
async fn a_listener_has_one_pool_and_loses_it_with_the_pool() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let pool = pool(bench, &balancer).await;
        let listener = pool.listeners[0].id.clone();
        assert_eq!(pool.lb_algorithm, LbAlgorithm::SourceIpPort);
        let found = bench.octavia().listener(&listener).await.expect("the listener");
        assert_eq!(found.default_pool_id.as_deref(), Some(pool.id.as_str()));
        refused(bench.octavia().create_pool(&new_pool(&listener)).await, ErrorKind::Conflict, "");
        bench.octavia().delete_pool(&pool.id).await.expect("deleted");
        bench.settled(&balancer).await;
        let found = bench.octavia().listener(&listener).await.expect("the listener");
        assert_eq!(found.default_pool_id, None);
        refused(bench.octavia().pool(&pool.id).await, ErrorKind::NotFound, "");
    })
    .await;
}

#[tokio::test]
async fn a_batch_makes_changes_and_deletes_members_in_one_call() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let pool = pool(bench, &balancer).await.id;
        let octavia = bench.octavia();
        let hosts = async || {
            let members = octavia.list_members(&pool).await.expect("a list");
            let mut hosts: Vec<_> =
                members.iter().map(|member| (member.address.expect("an address"), member.protocol_port)).collect();
            hosts.sort();
            hosts
        };
        octavia.set_members(&pool, &[new_member(bench, 11, 8080), new_member(bench, 12, 8080)]).await.expect("a batch");
        bench.settled(&balancer).await;
        assert_eq!(hosts().await, [(address(11), 8080), (address(12), 8080)]);
        let before = octavia.list_members(&pool).await.expect("a list");
        octavia.set_members(&pool, &[new_member(bench, 12, 8080), new_member(bench, 13, 8080)]).await.expect("a batch");
        bench.settled(&balancer).await;
        assert_eq!(hosts().await, [(address(12), 8080), (address(13), 8080)]);
        let after = octavia.list_members(&pool).await.expect("a list");
        let of = |members: &[Member], host: u8| {
            members.iter().find(|member| member.address == Some(address(host))).map(|member| member.id.clone())
        };
        assert_eq!(of(&before, 12), of(&after, 12), "who stays stays the same");
        // A batch says all of a member: what it leaves out is the default again.
        let id = of(&after, 12).expect("a member");
        let light = MemberUpdate { name: Some("light".to_owned()), weight: Some(7) };
        octavia.update_member(&pool, &id, &light).await.expect("a change");
        bench.settled(&balancer).await;
        let unnamed = NewMember { name: String::new(), ..new_member(bench, 12, 8080) };
        octavia.add_members(&pool, &[unnamed]).await.expect("a batch");
        bench.settled(&balancer).await;
        let member = octavia.member(&pool, &id).await.expect("the member");
        assert_eq!((member.name.as_str(), member.weight), ("light", 1));
        octavia.add_members(&pool, &[new_member(bench, 14, 8080)]).await.expect("a batch");
        bench.settled(&balancer).await;
        assert_eq!(hosts().await.len(), 3);
        octavia.set_members(&pool, &[]).await.expect("a batch");
        bench.settled(&balancer).await;
        assert_eq!(hosts().await, []);
    })
    .await;
}

#[tokio::test]
async fn a_member_comes_changes_and_goes_alone() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let pool = pool(bench, &balancer).await.id;
        let octavia = bench.octavia();
        let made = octavia.create_member(&pool, &new_member(bench, 21, 80)).await.expect("a member");
        assert_eq!((made.address, made.subnet_id.as_deref()), (Some(address(21)), Some(bench.subnet.as_str())));
        bench.settled(&balancer).await;
        refused(octavia.create_member(&pool, &new_member(bench, 21, 80)).await, ErrorKind::Conflict, "");
        bench.settled(&balancer).await;
        let update = MemberUpdate { name: Some("renamed".to_owned()), ..MemberUpdate::default() };
        octavia.update_member(&pool, &made.id, &update).await.expect("a change");
        bench.settled(&balancer).await;
        assert_eq!(octavia.member(&pool, &made.id).await.expect("the member").name, "renamed");
        octavia.delete_member(&pool, &made.id).await.expect("deleted");
        bench.settled(&balancer).await;
        refused(octavia.member(&pool, &made.id).await, ErrorKind::NotFound, "");
        let nowhere = NewMember {
            subnet_id: Some("11111111-1111-4111-8111-111111111111".to_owned()),
            ..new_member(bench, 22, 80)
        };
        refused(octavia.create_member(&pool, &nowhere).await, ErrorKind::BadRequest, "");
    })
    .await;
}

#[tokio::test]
async fn a_pool_has_one_health_monitor() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let pool = pool(bench, &balancer).await.id;
        let octavia = bench.octavia();
        let wanted = NewHealthMonitor {
            pool_id: Some(pool.clone()),
            name: "monitor".to_owned(),
            kind: HealthMonitorType::Tcp,
            delay: 10,
            timeout: 5,
            max_retries: 3,
            ..NewHealthMonitor::default()
        };
        let made = octavia.create_health_monitor(&wanted).await.expect("a health monitor");
        bench.settled(&balancer).await;
        assert_eq!(octavia.pool(&pool).await.expect("the pool").healthmonitor_id, Some(made.id.clone()));
        refused(octavia.create_health_monitor(&wanted).await, ErrorKind::Conflict, "");
        bench.settled(&balancer).await;
        let found = octavia.health_monitor(&made.id).await.expect("the health monitor");
        assert_eq!((found.kind, found.delay, found.timeout, found.max_retries), (HealthMonitorType::Tcp, 10, 5, 3));
        let update = HealthMonitorUpdate { delay: Some(20), ..HealthMonitorUpdate::default() };
        octavia.update_health_monitor(&made.id, &update).await.expect("a change");
        bench.settled(&balancer).await;
        octavia.delete_health_monitor(&made.id).await.expect("deleted");
        bench.settled(&balancer).await;
        refused(octavia.health_monitor(&made.id).await, ErrorKind::NotFound, "");
        let ping = NewHealthMonitor { kind: HealthMonitorType::Ping, ..wanted };
        refused(octavia.create_health_monitor(&ping).await, ErrorKind::BadRequest, "");
    })
    .await;
}

#[tokio::test]
async fn everything_is_made_with_the_load_balancer_and_goes_with_it() {
    on_a_bench(async |bench| {
        let pool = NewPool {
            listener_id: None,
            members: vec![new_member(bench, 31, 80), new_member(bench, 32, 80)],
            ..new_pool("")
        };
        let listener = NewListener {
            loadbalancer_id: None,
            default_pool: Some(pool),
            ..new_listener("", ListenerProtocol::Tcp, 80)
        };
        let wanted = NewLoadBalancer { listeners: vec![listener], ..new_load_balancer(bench) };
        let made = bench.octavia().create_load_balancer(&wanted).await.expect("a load balancer");
        let made = bench.settled(&made.id).await;
        assert_eq!((made.listeners.len(), made.pools.len()), (1, 1));
        let members = bench.octavia().list_members(&made.pools[0].id).await.expect("a list");
        assert_eq!(members.len(), 2);
        bench.octavia().delete_load_balancer(&made.id).await.expect("deleted");
        bench.gone(&made.id).await;
        refused(bench.octavia().listener(&made.listeners[0].id).await, ErrorKind::NotFound, "");
    })
    .await;
}

#[tokio::test]
async fn a_pool_keeps_clients_for_as_long_as_it_is_told_where_packets_are_all_there_is() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let octavia = bench.octavia();
        let by_address = |timeout: Option<u32>| SessionPersistence {
            kind: Persistence::SourceIp,
            cookie_name: None,
            persistence_timeout: timeout,
            persistence_granularity: None,
        };
        let tcp = listener(bench, &balancer, ListenerProtocol::Tcp, 80).await.id;
        let timed = NewPool { session_persistence: Some(by_address(Some(60))), ..new_pool(&tcp) };
        refused(octavia.create_pool(&timed).await, ErrorKind::BadRequest, "");
        bench.settled(&balancer).await;
        let untimed = NewPool { session_persistence: Some(by_address(None)), ..new_pool(&tcp) };
        let tcp = octavia.create_pool(&untimed).await.expect("a pool").id;
        bench.settled(&balancer).await;
        // OVN of Zed takes the word and keeps nobody.
        assert_eq!(octavia.pool(&tcp).await.expect("the pool").session_persistence, Some(by_address(None)));
        let udp = listener(bench, &balancer, ListenerProtocol::Udp, 53).await.id;
        let timed =
            NewPool { protocol: PoolProtocol::Udp, session_persistence: Some(by_address(Some(60))), ..new_pool(&udp) };
        let udp = octavia.create_pool(&timed).await.expect("a pool").id;
        bench.settled(&balancer).await;
        let longer = PoolUpdate { session_persistence: Some(Some(by_address(Some(90)))), ..PoolUpdate::default() };
        octavia.update_pool(&udp, &longer).await.expect("a change");
        bench.settled(&balancer).await;
        assert_eq!(octavia.pool(&udp).await.expect("the pool").session_persistence, Some(by_address(Some(90))));
        let nobody = PoolUpdate { session_persistence: Some(None), ..PoolUpdate::default() };
        octavia.update_pool(&udp, &nobody).await.expect("a change");
        bench.settled(&balancer).await;
        assert_eq!(octavia.pool(&udp).await.expect("the pool").session_persistence, None);
    })
    .await;
}

#[tokio::test]
async fn a_listener_has_limits_that_change() {
    on_a_bench(async |bench| {
        let balancer = load_balancer(bench).await.id;
        let octavia = bench.octavia();
        let wanted = NewListener {
            timeout_client_data: Some(60_000),
            timeout_member_connect: Some(7_000),
            timeout_tcp_inspect: Some(10),
            connection_limit: Some(100),
            ..new_listener(&balancer, ListenerProtocol::Tcp, 80)
        };
        let made = octavia.create_listener(&wanted).await.expect("a listener").id;
        bench.settled(&balancer).await;
        let limits = async || {
            let found = octavia.listener(&made).await.expect("the listener");
            let timeouts = (found.timeout_client_data, found.timeout_member_connect, found.timeout_tcp_inspect);
            (timeouts, found.connection_limit)
        };
        assert_eq!(limits().await, ((Some(60_000), Some(7_000), Some(10)), Some(100)));
        let update = ListenerUpdate {
            timeout_client_data: Some(Some(61_000)),
            timeout_member_connect: Some(Some(8_000)),
            timeout_tcp_inspect: Some(Some(20)),
            connection_limit: Some(-1),
            ..ListenerUpdate::default()
        };
        octavia.update_listener(&made, &update).await.expect("a change");
        bench.settled(&balancer).await;
        assert_eq!(limits().await, ((Some(61_000), Some(8_000), Some(20)), Some(-1)));
        let beyond = ListenerUpdate { timeout_client_data: Some(Some(u32::MAX)), ..ListenerUpdate::default() };
        refused(octavia.update_listener(&made, &beyond).await, ErrorKind::BadRequest, "");
    })
    .await;
}
