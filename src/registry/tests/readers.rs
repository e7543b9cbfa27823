//! Readers on many threads, while what they read is replaced all the time.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::balance::pool::Ask;

const THREADS: u64 = 16;
const SWAPS: u32 = 150;

/// The instances of one of two sets, of eight and of five. Their addresses and ports say which.
fn set(swap: u32) -> Vec<(ServiceName, InstanceId, InstanceSpec)> {
    let (letter, net, count) = if swap.is_multiple_of(2) { ("a", 1, 8) } else { ("b", 2, 5) };
    let one = |i: u32| {
        let json = format!(r#"{{"addresses":["10.0.{net}.{i}"],"port":{net}}}"#);
        (service("web"), id(&format!("{letter}-{i}")), spec(&json))
    };
    (0..count).map(one).collect()
}

/// What a client is told of one view: the third octets of its addresses, and the ports and weights
/// of its SRV records, sorted.
fn told(views: &Views, rng: &mut SmallRng) -> (Vec<u8>, Vec<(u16, u16)>) {
    let view = views.service("web").unwrap();
    let ask = Ask { client: 1, now: Millis(0), fit: 99, peek: false };
    let mut units = Vec::new();
    let addresses = view.whole().built(Family::V4).unwrap();
    addresses.pool.pick(&ask, rng, &mut units);
    let ips: BTreeSet<IpAddr> = units.iter().flat_map(|unit| addresses.of(*unit)).collect();
    assert_eq!(ips.len(), units.len(), "no address is there twice");
    let octet = |ip: IpAddr| if let IpAddr::V4(v4) = ip { v4.octets()[2] } else { 0 };

    let targets = view.whole().built_targets(PortChoice::Main).unwrap();
    targets.pool.order(&ask, rng, &mut units);
    let mut srv: Vec<(u16, u16)> = units
        .iter()
        .map(|unit| targets.targets[*unit as usize])
        .map(|target| {
            let instance = &view.instances[target.instance as usize].instance;
            assert_eq!(instance.main_port().map(|port| port.port.get()), Some(target.port));
            (target.port, target.weight)
        })
        .collect();
    srv.sort_unstable();
    (ips.into_iter().map(octet).collect(), srv)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_set_or_the_other_and_never_parts_of_both() {
    let (registry, _) = start(policy());
    registry.batch(Vec::new(), set(0)).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reader = |seed| {
        let (registry, over) = (registry.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut rng, mut seen) = (SmallRng::seed_from_u64(seed), [0_u32; 2]);
            while !over.load(Ordering::Relaxed) {
                let (nets, srv) = told(registry.views(), &mut rng);
                if nets[0] == 1 {
                    assert_eq!((nets, srv), (vec![1; 8], vec![(1, 256); 8]));
                    seen[0] += 1;
                } else {
                    assert_eq!((nets, srv), (vec![2; 5], vec![(2, 256); 5]));
                    seen[1] += 1;
                }
                std::thread::yield_now();
            }
            seen
        })
    };
    #[expect(clippy::needless_collect, reason = "all begin before anything changes")]
    let readers: Vec<_> = (0..THREADS).map(reader).collect();

    for swap in 1..=SWAPS {
        let gone = set(swap - 1).into_iter().map(|(service, id, _)| (service, id)).collect();
        registry.batch(gone, set(swap)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    over.store(true, Ordering::Relaxed);

    let seen: Vec<[u32; 2]> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(seen.iter().all(|[a, b]| *a > 0 && *b > 0), "every reader saw both: {seen:?}");
}
