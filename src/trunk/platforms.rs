//! What a trunk is when the operator says no more than its kind: names, hosts, ranges, methods and
//! timers of the platforms, as data (TDR-17, 18, 21, 90, 97; GEN-8, 9, 28, 29, 33).
//!
//! The configuration starts a [`Trunk`] from [`defaults`] and lets the operator's keys
//! win. Addresses and names change on the platforms' side: everything here can be overridden there.

use super::policy::{Forwarding, Policy, UserToUserForm};
use super::{EarlyMedia, Host, Kind, NumberSource, RequestUriHost, Termination, Trunk};
use crate::flow::{Transport, TrunkId};
use crate::number::DialPlan;
use crate::sip::Method;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

/// Which Microsoft cloud (TDR-17, 18).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Worldwide, and GCC, which shares its names.
    #[default]
    #[serde(alias = "gcc")]
    Worldwide,
    /// GCC High.
    GccHigh,
    /// Department of Defense.
    Dod,
}

/// Which generation of Genesys Cloud BYOC (GEN-3).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Trunk names below `pure.cloud` and `mypurecloud.*`.
    #[default]
    Classic,
    /// The Dynamic Cloud Voice Platform: trunk names below `genesys.cloud`.
    Dynamic,
}

/// What the operator says of a platform; everything else follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Platform<'a> {
    /// Teams Direct Routing in this cloud.
    Teams {
        /// The cloud.
        cloud: Cloud,
    },
    /// Genesys Cloud BYOC.
    Genesys {
        /// The generation.
        generation: Generation,
        /// The AWS name of the region: `eu-central-1`.
        region: &'a str,
        /// The trunk's inbound SIP termination identifier (GEN-12).
        identifier: &'a str,
        /// How calls to Genesys carry it.
        termination: Termination,
    },
    /// Anything else: the operator says it all.
    Generic,
}

/// What a [`Trunk`] is made from where the operator says nothing.
#[derive(Clone, Debug)]
pub struct TrunkDefaults {
    /// Whose rules apply.
    pub kind: Kind,
    /// How requests travel (GEN-5; TDR-1: nothing else toward Teams).
    pub transport: Transport,
    /// Where calls go, first to last; empty for generic trunks.
    pub hosts: Vec<Host>,
    /// Host of the Request-URI of calls; empty for generic trunks, whose first host it is.
    pub request_host: Arc<str>,
    /// How calls to it carry the identifier.
    pub termination: Termination,
    /// The identifier; empty for other platforms than Genesys.
    pub termination_identifier: Arc<str>,
    /// Names below which in-dialog requests may be dialled.
    pub suffixes: Vec<Arc<str>>,
    /// Addresses the platform calls from.
    pub sources: Vec<IpNet>,
    /// Whether `sources` is the platform's whole list. If not, the operator has to give it (GEN-8).
    pub sources_complete: bool,
    /// Whether the platform's clients prove a certificate (TDR-5, GEN-29).
    pub mutual: bool,
    /// Names one of which its certificate has to carry (TDR-13, GEN-33).
    pub expected_names: Vec<Arc<str>>,
    /// Whether it speaks TLS 1.2 and nothing newer (GEN-28).
    pub tls_1_2_only: bool,
    /// The port our listener has to have; `None`: any (TDR-18, 23).
    pub listener_port: Option<u16>,
    /// The methods it takes from us.
    pub methods: Vec<Method>,
    /// Session timer in seconds.
    pub session_expires: Option<u32>,
    /// The shortest session interval, in seconds.
    pub min_se: u32,
    /// What crosses before the answer.
    pub early_media: EarlyMedia,
    /// How long a called party may ring.
    pub ring_timeout: Duration,
    /// How long a host may stay without any response.
    pub response_timeout: Duration,
    /// Interval of our OPTIONS.
    pub options_interval: Option<Duration>,
    /// What X-MS-SBC says; `None`: it is not sent.
    pub sbc: Option<Arc<str>>,
    /// What crosses beside what always does.
    pub policy: Policy,
}

impl TrunkDefaults {
    /// A trunk of these defaults, `name` in the configuration, that knows us as `fqdn` on `port`: every
    /// listener of its transport, no limits.
    pub fn into_trunk(self, id: TrunkId, name: &str, fqdn: &str, port: u16) -> Trunk {
        Trunk {
            id,
            name: Arc::from(name),
            kind: self.kind,
            fqdn: Arc::from(fqdn),
            port,
            transport: self.transport,
            large_over_tcp: false,
            hosts: self.hosts,
            request_host: self.request_host,
            request_uri_host: RequestUriHost::First,
            termination: self.termination,
            termination_identifier: self.termination_identifier,
            suffixes: self.suffixes,
            ip: None,
            sources: self.sources,
            listeners: Vec::new(),
            mutual: self.mutual,
            expected_names: self.expected_names,
            methods: self.methods,
            session_expires: self.session_expires,
            min_se: self.min_se,
            early_media: self.early_media,
            ring_timeout: self.ring_timeout,
            response_timeout: self.response_timeout,
            options_interval: self.options_interval,
            sbc: self.sbc,
            policy: self.policy,
            max_calls: None,
            max_call_rate: None,
            country_code: Arc::from(""),
            dial_plan: DialPlan::default(),
            number_source: NumberSource::RequestUri,
            headers: Vec::new(),
            required_header: None,
            authentication: None,
            account: None,
            retired: false,
        }
    }
}

/// The methods that the hub lists in its Allow, and no other (TDR-90).
const SIX: [Method; 6] = [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options, Method::Notify];

/// Below the 120 s after which Genesys gives a call up (GEN-82), so that our own answer is the one heard.
const RING_TIMEOUT: Duration = Duration::from_secs(110);

/// A host without a response this long is passed over: well below Timer B's 32 s and below the 10 s
/// after which the hub tries another SBC (TDR-125, TDR-71).
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Below the 10 s after which the hub tries another SBC unless it has heard more than 100 (TDR-71), and above the two
/// hosts that may have stayed silent by then.
const PROGRESS_AFTER: Duration = Duration::from_millis(8500);

/// Once a minute: neither more often than every 60 s nor less than every 180 s (TDR-32, GEN-84).
const OPTIONS_INTERVAL: Duration = Duration::from_secs(60);

/// Half an hour, of which half passes between refreshes (TDR-97).
const SESSION_EXPIRES: u32 = 1800;

/// What a platform is when nobody says otherwise; `None` for a Genesys region that is not known, or
/// that has no trunks of this generation.
pub fn defaults(platform: &Platform<'_>) -> Option<TrunkDefaults> {
    match *platform {
        Platform::Teams { cloud } => Some(teams(cloud)),
        Platform::Genesys { generation, region, identifier, termination } => {
            genesys(generation, region, identifier, termination)
        }
        Platform::Generic => Some(generic()),
    }
}

/// What a trunk is of which no platform is known.
pub fn generic() -> TrunkDefaults {
    let mut methods = SIX.to_vec();
    methods.extend([Method::Info, Method::Update]);
    TrunkDefaults {
        kind: Kind::Generic,
        transport: Transport::Tls,
        hosts: Vec::new(),
        request_host: Arc::from(""),
        termination: Termination::Fqdn,
        termination_identifier: Arc::from(""),
        suffixes: Vec::new(),
        sources: Vec::new(),
        sources_complete: false,
        mutual: false,
        expected_names: Vec::new(),
        tls_1_2_only: false,
        listener_port: None,
        methods,
        session_expires: Some(SESSION_EXPIRES),
        min_se: 90, // RFC 4028 §4
        early_media: EarlyMedia::First,
        ring_timeout: RING_TIMEOUT,
        response_timeout: RESPONSE_TIMEOUT,
        options_interval: Some(OPTIONS_INTERVAL),
        sbc: None,
        policy: Policy::default(),
    }
}

/// What the hub of a cloud is.
pub fn teams(cloud: Cloud) -> TrunkDefaults {
    // In the order in which calls try them: the first name leads to the best data centre (TDR-17).
    let names: &[&str] = match cloud {
        Cloud::Worldwide => &["sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"],
        Cloud::GccHigh => &["sip.pstnhub.gov.teams.microsoft.us"],
        Cloud::Dod => &["sip.pstnhub.dod.teams.microsoft.us"],
    };
    // TDR-21. Worldwide: the second range holds the 52.122.0.0/15 of newer texts.
    let sources: &[&str] = match cloud {
        Cloud::Worldwide => &["52.112.0.0/14", "52.120.0.0/14"],
        Cloud::GccHigh => &["52.127.88.0/21"],
        Cloud::Dod => &["52.127.64.0/21"],
    };
    let first = names[0];
    TrunkDefaults {
        kind: Kind::Teams,
        hosts: names.iter().map(|&name| Host { name: Arc::from(name), port: Some(5061) }).collect(),
        request_host: Arc::from(first),
        suffixes: vec![Arc::from(first.trim_start_matches("sip."))],
        sources: ranges(sources),
        sources_complete: true,
        mutual: true,
        expected_names: vec![Arc::from(first)],
        listener_port: (cloud != Cloud::Worldwide).then_some(5061),
        methods: SIX.to_vec(),
        min_se: 300, // what the hub itself asks for (TDR-97)
        early_media: EarlyMedia::None,
        sbc: Some(Arc::from(concat!("Tandem/Edge/", env!("CARGO_PKG_VERSION")))),
        // The hub uses none of it (TDR-62), but wants to hear something within 10 s (TDR-71).
        policy: Policy { forwarding: Forwarding::None, progress_after: Some(PROGRESS_AFTER), ..Policy::default() },
        ..generic()
    }
}

/// One row of GEN-9.
struct Region {
    /// AWS name.
    name: &'static str,
    /// Region domain: the API host without `api.`.
    domain: &'static str,
    /// Domain of classic trunks; empty where there are none.
    classic: &'static str,
    /// Domain of dynamic trunks.
    dynamic: &'static str,
    /// Signalling addresses that are known, by no means all (GEN-8).
    addresses: &'static [&'static str],
}

const fn region(
    name: &'static str,
    domain: &'static str,
    classic: &'static str,
    dynamic: &'static str,
    addresses: &'static [&'static str],
) -> Region {
    Region { name, domain, classic, dynamic, addresses }
}

const USE1: &[&str] = &["52.203.12.137/32", "54.82.241.192/32", "54.82.241.68/32", "54.82.188.43/32"];

const REGIONS: &[Region] = &[
    region("us-east-1", "mypurecloud.com", "byoc.mypurecloud.com", "byoc.use1.genesys.cloud", USE1),
    region("us-west-2", "usw2.pure.cloud", "byoc.usw2.pure.cloud", "byoc.usw2.genesys.cloud", &["34.211.206.63/32"]),
    region("ca-central-1", "cac1.pure.cloud", "byoc.cac1.pure.cloud", "byoc.cac1.genesys.cloud", &[]),
    region("sa-east-1", "sae1.pure.cloud", "byoc.sae1.pure.cloud", "byoc.sae1.genesys.cloud", &[]),
    region("mx-central-1", "mxc1.pure.cloud", "", "byoc.mxc1.genesys.cloud", &[]),
    region("eu-west-1", "mypurecloud.ie", "byoc.mypurecloud.ie", "byoc.euw1.genesys.cloud", &[]),
    region("eu-central-1", "mypurecloud.de", "byoc.mypurecloud.de", "byoc.euc1.genesys.cloud", &[]),
    region("eu-west-2", "euw2.pure.cloud", "byoc.euw2.pure.cloud", "byoc.euw2.genesys.cloud", &[]),
    region("eu-central-2", "euc2.pure.cloud", "byoc.euc2.pure.cloud", "byoc.euc2.genesys.cloud", &[]),
    region(
        "eusc-de-east-1",
        "edee1.eusc-pure.cloud",
        "voice.edee1.eusc-genesys.cloud",
        "byoc.edee1.eusc-genesys.cloud",
        &[],
    ),
    region("ap-northeast-1", "mypurecloud.jp", "byoc.mypurecloud.jp", "byoc.apne1.genesys.cloud", &[]),
    region("ap-northeast-2", "apne2.pure.cloud", "byoc.apne2.pure.cloud", "byoc.apne2.genesys.cloud", &[]),
    region("ap-northeast-3", "apne3.pure.cloud", "byoc.apne3.pure.cloud", "byoc.apne3.genesys.cloud", &[]),
    region("ap-southeast-2", "mypurecloud.com.au", "byoc.mypurecloud.com.au", "byoc.apse2.genesys.cloud", &[]),
    region("ap-southeast-1", "apse1.pure.cloud", "byoc.apse1.pure.cloud", "byoc.apse1.genesys.cloud", &[]),
    region("ap-south-1", "aps1.pure.cloud", "byoc.aps1.pure.cloud", "byoc.aps1.genesys.cloud", &[]),
    region("me-central-1", "mec1.pure.cloud", "byoc.mec1.pure.cloud", "byoc.mec1.genesys.cloud", &[]),
    region("us-east-2", "use2.us-gov-pure.cloud", "byoc.use2.us-gov-pure.cloud", "byoc.use2.us-gov-genesys.cloud", &[]),
];

/// The AWS names of the regions that are known, for findings that suggest one.
pub fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|region| region.name)
}

fn genesys(generation: Generation, name: &str, identifier: &str, termination: Termination) -> Option<TrunkDefaults> {
    let region = REGIONS.iter().find(|region| region.name.eq_ignore_ascii_case(name))?;
    let byoc = match generation {
        Generation::Classic if region.classic.is_empty() => return None,
        Generation::Classic => region.classic,
        Generation::Dynamic => region.dynamic,
    };
    let fqdn = format!("{}.{byoc}", identifier.to_ascii_lowercase());
    // GEN-14, 15: there the identifier stands in the user part, and the host is the region's.
    let request_host = match termination {
        Termination::Fqdn => fqdn.as_str(),
        Termination::Tgrp | Termination::Dnis | Termination::Header => byoc,
    };
    // The certificates do not carry the trunk's FQDN (GEN-33).
    let voice = format!("voice.{}", region.domain);
    // Where the load balancers `lb01…` of the region live (GEN-8); Record-Route may name them.
    let balancers = byoc.strip_prefix("byoc.").map(|rest| format!("voice.{rest}"));
    // us-east-1 has a second classic domain (GEN-9).
    let second = (region.name == "us-east-1").then(|| "voice.use1.pure.cloud".to_owned());
    let mut suffixes: Vec<Arc<str>> = vec![Arc::from(byoc), Arc::from(&*voice)];
    let mut expected_names: Vec<Arc<str>> =
        vec![Arc::from(&*fqdn), Arc::from(&*voice), Arc::from(format!("*.{voice}"))];
    for other in balancers.into_iter().chain(second).filter(|other| *other != voice) {
        suffixes.push(Arc::from(&*other));
        expected_names.extend([Arc::from(&*other), Arc::from(format!("*.{other}"))]);
    }
    Some(TrunkDefaults {
        kind: Kind::Genesys,
        // GEN-6 (d): the trunk's FQDN always leads to one of the published addresses.
        hosts: vec![Host { name: Arc::from(&*fqdn), port: None }],
        request_host: Arc::from(request_host),
        termination,
        termination_identifier: Arc::from(identifier),
        suffixes,
        sources: match generation {
            Generation::Classic => ranges(region.addresses),
            Generation::Dynamic => Vec::new(),
        },
        sources_complete: false,
        mutual: false,
        expected_names,
        tls_1_2_only: true,
        // Its Allow is not published (GEN-43): nothing but what every platform takes.
        methods: SIX.to_vec(),
        policy: Policy { user_to_user: UserToUserForm::AsReceived, ..Policy::default() },
        ..generic()
    })
}

/// The ranges written in a table; a test reads every table, so that none is left out.
fn ranges(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byoc<'a>(generation: Generation, region: &'a str, termination: Termination) -> Platform<'a> {
        Platform::Genesys { generation, region, identifier: "Acme-SBC", termination }
    }

    fn names(defaults: &TrunkDefaults) -> Vec<&str> {
        defaults.hosts.iter().map(|host| &*host.name).collect()
    }

    #[test]
    fn options_go_out_each_minute_tdr_32_gen_84() {
        let genesys = defaults(&byoc(Generation::Classic, "eu-central-1", Termination::Fqdn)).unwrap();
        for platform in [teams(Cloud::Worldwide), genesys] {
            assert_eq!(platform.options_interval, Some(Duration::from_secs(60)));
        }
    }

    #[test]
    fn the_worldwide_hub_has_three_names_in_order_tdr_17() {
        let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).unwrap();
        assert_eq!(
            names(&teams),
            ["sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"]
        );
        assert!(teams.hosts.iter().all(|host| host.port == Some(5061)), "TDR-23");
        assert_eq!(&*teams.request_host, "sip.pstnhub.microsoft.com", "TDR-49");
        assert_eq!(teams.expected_names, [Arc::from("sip.pstnhub.microsoft.com")], "TDR-13");
        assert_eq!(teams.suffixes, [Arc::from("pstnhub.microsoft.com")], "TDR-83");
        assert!(teams.mutual && !teams.tls_1_2_only && teams.listener_port.is_none());
        assert_eq!(teams.transport, Transport::Tls, "TDR-1");
    }

    #[test]
    fn the_government_clouds_have_one_name_and_port_5061_tdr_18() {
        for (cloud, name, range) in [
            (Cloud::GccHigh, "sip.pstnhub.gov.teams.microsoft.us", "52.127.88.0/21"),
            (Cloud::Dod, "sip.pstnhub.dod.teams.microsoft.us", "52.127.64.0/21"),
        ] {
            let teams = defaults(&Platform::Teams { cloud }).unwrap();
            assert_eq!(names(&teams), [name]);
            assert_eq!(teams.listener_port, Some(5061));
            assert_eq!(teams.sources, [range.parse::<IpNet>().unwrap()]);
        }
    }

    #[test]
    fn the_hub_calls_from_its_ranges_tdr_21() {
        let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).unwrap();
        let covers = |address: &str| {
            teams.sources.iter().any(|range| range.contains(&address.parse::<std::net::IpAddr>().unwrap()))
        };
        assert!(covers("52.112.0.10") && covers("52.115.255.1") && covers("52.122.3.4") && covers("52.123.255.255"));
        assert!(!covers("52.116.0.1") && !covers("52.124.0.1") && !covers("192.0.2.1"));
    }

    #[test]
    fn the_hub_takes_six_methods_and_sessions_of_300_seconds_and_more_tdr_90_tdr_97() {
        let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).unwrap();
        let methods: Vec<_> = teams.methods.iter().map(Method::as_str).collect();
        assert_eq!(methods, ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "NOTIFY"]);
        assert_eq!((teams.session_expires, teams.min_se), (Some(1800), 300));
    }

    #[test]
    fn region_identifier_and_generation_make_the_trunk_s_name_gen_9() {
        let mut known: Vec<&str> = Vec::new();
        for (region, classic, dynamic) in [
            ("us-east-1", "byoc.mypurecloud.com", "byoc.use1.genesys.cloud"),
            ("us-west-2", "byoc.usw2.pure.cloud", "byoc.usw2.genesys.cloud"),
            ("ca-central-1", "byoc.cac1.pure.cloud", "byoc.cac1.genesys.cloud"),
            ("sa-east-1", "byoc.sae1.pure.cloud", "byoc.sae1.genesys.cloud"),
            ("mx-central-1", "", "byoc.mxc1.genesys.cloud"),
            ("eu-west-1", "byoc.mypurecloud.ie", "byoc.euw1.genesys.cloud"),
            ("eu-central-1", "byoc.mypurecloud.de", "byoc.euc1.genesys.cloud"),
            ("eu-west-2", "byoc.euw2.pure.cloud", "byoc.euw2.genesys.cloud"),
            ("eu-central-2", "byoc.euc2.pure.cloud", "byoc.euc2.genesys.cloud"),
            ("eusc-de-east-1", "voice.edee1.eusc-genesys.cloud", "byoc.edee1.eusc-genesys.cloud"),
            ("ap-northeast-1", "byoc.mypurecloud.jp", "byoc.apne1.genesys.cloud"),
            ("ap-northeast-2", "byoc.apne2.pure.cloud", "byoc.apne2.genesys.cloud"),
            ("ap-northeast-3", "byoc.apne3.pure.cloud", "byoc.apne3.genesys.cloud"),
            ("ap-southeast-2", "byoc.mypurecloud.com.au", "byoc.apse2.genesys.cloud"),
            ("ap-southeast-1", "byoc.apse1.pure.cloud", "byoc.apse1.genesys.cloud"),
            ("ap-south-1", "byoc.aps1.pure.cloud", "byoc.aps1.genesys.cloud"),
            ("me-central-1", "byoc.mec1.pure.cloud", "byoc.mec1.genesys.cloud"),
            ("us-east-2", "byoc.use2.us-gov-pure.cloud", "byoc.use2.us-gov-genesys.cloud"),
        ] {
            for (generation, domain) in [(Generation::Classic, classic), (Generation::Dynamic, dynamic)] {
                let Some(genesys) = defaults(&byoc(generation, region, Termination::Fqdn)) else {
                    assert_eq!(domain, "", "{region} has no trunks of this generation");
                    continue;
                };
                // The identifier is lower-cased.
                let expected = format!("acme-sbc.{domain}");
                assert_eq!((&*genesys.request_host, names(&genesys)), (expected.as_str(), vec![expected.as_str()]));
            }
            known.push(region);
        }
        assert!(regions().eq(known), "every region of the table, and no other");
        assert!(defaults(&byoc(Generation::Classic, "eu-south-9", Termination::Fqdn)).is_none());
    }

    #[test]
    fn tgrp_and_dnis_name_the_region_s_domain_gen_14_gen_15() {
        for termination in [Termination::Tgrp, Termination::Dnis] {
            let genesys = defaults(&byoc(Generation::Classic, "eu-central-1", termination)).unwrap();
            assert_eq!(&*genesys.request_host, "byoc.mypurecloud.de");
        }
    }

    #[test]
    fn genesys_certificates_carry_the_voice_names_of_the_region_gen_33() {
        let genesys = defaults(&byoc(Generation::Classic, "eu-central-1", Termination::Fqdn)).unwrap();
        let expected: Vec<&str> = genesys.expected_names.iter().map(|name| &**name).collect();
        assert_eq!(expected, ["acme-sbc.byoc.mypurecloud.de", "voice.mypurecloud.de", "*.voice.mypurecloud.de"]);
        let genesys = defaults(&byoc(Generation::Classic, "us-east-1", Termination::Fqdn)).unwrap();
        assert!(genesys.expected_names.iter().any(|name| &**name == "*.voice.use1.pure.cloud"), "GEN-8");
    }

    #[test]
    fn genesys_speaks_one_way_tls_1_2_and_its_addresses_are_the_operators_to_give_gen_28_gen_29_gen_8() {
        let genesys = defaults(&byoc(Generation::Classic, "us-east-1", Termination::Fqdn)).unwrap();
        assert!(genesys.tls_1_2_only && !genesys.mutual && !genesys.sources_complete);
        assert_eq!(genesys.sources.len(), 4);
    }

    #[test]
    fn a_party_rings_less_than_genesys_waits_gen_82() {
        for platform in [Platform::Generic, Platform::Teams { cloud: Cloud::Worldwide }] {
            assert!(defaults(&platform).unwrap().ring_timeout < Duration::from_secs(120));
        }
    }

    #[test]
    fn every_range_of_the_tables_can_be_read() {
        for region in REGIONS {
            assert_eq!(ranges(region.addresses).len(), region.addresses.len());
        }
        for cloud in [Cloud::Worldwide, Cloud::GccHigh, Cloud::Dod] {
            let count = if cloud == Cloud::Worldwide { 2 } else { 1 };
            assert_eq!(teams(cloud).sources.len(), count);
        }
    }
}
