//! From the records of the DNS to addresses in order (RFC 3263 §4, RFC 2782), without asking anyone.

use crate::flow::Transport;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A record of type SRV, reduced to what is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// A record of type NAPTR, reduced to what is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pointer {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) flags: String,
    pub(super) services: String,
    pub(super) replacement: String,
}

/// The name to ask SRV records for: where NAPTR points for this transport, else the one that RFC 3263
/// §4.2 makes from the host. The transport is settled by the trunk, so records for others do not count.
pub(super) fn service_name(transport: Transport, host: &str, mut pointers: Vec<Pointer>) -> String {
    let service = match transport {
        Transport::Udp => "SIP+D2U",
        Transport::Tcp => "SIP+D2T",
        Transport::Tls => "SIPS+D2T",
    };
    pointers.sort_by_key(|pointer| (pointer.order, pointer.preference));
    let ours = |pointer: &&Pointer| {
        pointer.flags.eq_ignore_ascii_case("s")
            && pointer.services.eq_ignore_ascii_case(service)
            && pointer.replacement != "."
    };
    if let Some(pointer) = pointers.iter().find(ours) {
        return pointer.replacement.clone();
    }
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{prefix}.{host}")
}

/// The services in the order to try them: by priority, within one by lot according to weight (RFC 2782).
/// Equal seeds give equal orders, so that an unchanged answer does not move connections about. A
/// single target `.` says that the service is not offered: the list is empty.
pub(super) fn in_order(mut services: Vec<Service>, seed: u64) -> Vec<Service> {
    services.retain(|service| service.target != "." && !service.target.is_empty());
    // The answer's own order must not matter: servers rotate it.
    services.sort_by(|a, b| (a.priority, a.weight, &a.target, a.port).cmp(&(b.priority, b.weight, &b.target, b.port)));
    let mut random = StdRng::seed_from_u64(seed);
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.first().map(|service| service.priority) {
        let among = services.iter().take_while(|service| service.priority == priority);
        let total: u32 = among.map(|service| u32::from(service.weight)).sum();
        // Weight 0 stands first in the running sum: chosen only when the lot is 0.
        let lot = random.random_range(0..=total);
        let mut sum = 0;
        let at = services.iter().position(|service| {
            sum += u32::from(service.weight);
            sum >= lot
        });
        ordered.push(services.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service { priority, weight, port: 5061, target: target.into() }
    }

    fn pointer(order: u16, services: &str, replacement: &str) -> Pointer {
        let (flags, services, replacement) = ("s".into(), services.into(), replacement.into());
        Pointer { order, preference: 10, flags, services, replacement }
    }

    #[test]
    fn naptr_chooses_only_among_the_records_of_our_transport() {
        let pointers = vec![
            pointer(20, "SIPS+D2T", "_sips._tcp.b.example.com."),
            pointer(10, "sips+d2t", "_sips._tcp.a.example.com."),
            pointer(1, "SIP+D2U", "_sip._udp.example.com."),
        ];
        let name = |transport| service_name(transport, "example.com.", pointers.clone());
        assert_eq!(name(Transport::Tls), "_sips._tcp.a.example.com.");
        assert_eq!(name(Transport::Udp), "_sip._udp.example.com.");
        assert_eq!(name(Transport::Tcp), "_sip._tcp.example.com.", "no record: RFC 3263 §4.2 makes the name");
    }

    #[test]
    fn lower_priorities_come_first_whatever_the_weight() {
        let ordered = in_order(vec![service(20, 65535, "c"), service(10, 0, "b"), service(5, 1, "a")], 7);
        let targets: Vec<_> = ordered.iter().map(|service| &*service.target).collect();
        assert_eq!(targets, ["a", "b", "c"]);
    }

    #[test]
    fn weights_share_out_the_first_place() {
        let first = |seed| in_order(vec![service(1, 75, "heavy"), service(1, 25, "light")], seed)[0].target.clone();
        let heavy = (0..1000).filter(|seed| first(*seed) == "heavy").count();
        assert!((650..850).contains(&heavy), "{heavy} of 1000");
    }

    #[test]
    fn the_order_of_the_answer_does_not_matter() {
        let services = vec![service(1, 10, "a"), service(1, 10, "b"), service(1, 10, "c")];
        let mut turned = services.clone();
        turned.rotate_left(1);
        assert_eq!(in_order(services, 3), in_order(turned, 3));
    }

    #[test]
    fn a_root_target_says_that_the_service_is_not_offered() {
        assert_eq!(in_order(vec![service(0, 0, ".")], 1), []);
    }
}
