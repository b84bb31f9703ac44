//! What a ladder may set for the world that it plays in.

use super::*;

pub fn set(world: &mut World, key: &str, value: &str) -> Outcome {
    let seconds = || value.strip_suffix('s').and_then(|digits| digits.parse().ok()).map(Duration::from_secs);
    let index = |world: &World, name: &str| world.snapshot.trunk_named(name).map(|trunk| usize::from(trunk.id.0));
    let mut unknown = false;
    match (key.split_once('.'), key) {
        (None, "ask_media") => world.configure(|snapshot| snapshot.edge.ask_media = true),
        (None, "max_calls") => world.configure(|snapshot| snapshot.edge.max_calls = value.parse().unwrap_or(0)),
        (None, "tenants") => world.tenants(),
        (None, "ask_load") => world.configure(|snapshot| snapshot.edge.ask_load = true),
        (None, "slow_store") => world.slow_store = true,
        (None, "max_transactions") => {
            world.configure(|snapshot| snapshot.edge.max_transactions = value.parse().unwrap_or(0));
        }
        (None, "max_call") => world.configure(|snapshot| snapshot.edge.max_call = seconds().unwrap_or_default()),
        (Some((name, key)), _) if let Some(at) = index(world, name) => world.configure(|snapshot| {
            let trunk: &mut Trunk = std::sync::Arc::make_mut(&mut snapshot.trunks[at]);
            match key {
                "early_media" => trunk.early_media = EarlyMedia::First,
                "session_expires" => trunk.session_expires = value.parse().ok(),
                "ring_timeout" => trunk.ring_timeout = seconds().unwrap_or_default(),
                "options_interval" => trunk.options_interval = seconds(),
                "max_calls" => trunk.max_calls = value.parse().ok(),
                "max_call_rate" => trunk.max_call_rate = value.parse().ok(),
                "methods" => trunk.methods.push(method(value)),
                "request_uri_host" => trunk.request_uri_host = RequestUriHost::Dialled,
                "country" => trunk.country_code = value.into(),
                // `pbx.in 9>+49`: what begins with the one begins with the other.
                "in" | "out" => {
                    let (prefix, replacement) = value.split_once('>').unwrap_or((value, ""));
                    let step = Step { fits: Fits::Prefix(prefix.into()), replacement: replacement.into() };
                    let plan = &mut trunk.dial_plan;
                    (if key == "in" { &mut plan.inbound } else { &mut plan.outbound }).push(step);
                }
                "large_over_tcp" => trunk.large_over_tcp = true,
                "sources" => trunk.sources = vec![value.parse().expect("a range")],
                "hosts" if value == "edges" => {
                    let edge = |name: &str| Host { name: name.into(), port: Some(5060) };
                    trunk.hosts = ["192.0.2.10", "192.0.2.12", "192.0.2.13"].map(edge).to_vec();
                }
                "hosts" if value == "rotated" => trunk.hosts.rotate_left(1),
                "retired" => trunk.retired = true,
                "promote" => trunk.policy.asserted_identity = AssertedIdentity::Promote,
                "trusted_delivery" => trunk.policy.trusted_delivery = true,
                "pass" => trunk.policy.pass.push(Wildcard::new(value)),
                "voicemail" => trunk.policy.voicemail.push(Wildcard::new(value)),
                "progress_after" => trunk.policy.progress_after = seconds(),
                "uui" => trunk.policy.user_to_user = UserToUserForm::Prefixed,
                "forwarding" => trunk.policy.forwarding = Forwarding::HistoryInfo,
                // The user is `acme`, the realm `acme.example.com`.
                "authentication" => trunk.authentication = Some(authentication(value)),
                "credentials" => trunk.account = Some(account(value)),
                "required_header" => trunk.required_header = value.split_once(": ").map(required_header),
                "header" => {
                    trunk.headers.extend(value.split_once(": ").map(|(name, value)| (name.into(), value.into())))
                }
                "termination" if value == "header" => {
                    (trunk.termination, trunk.request_host) = (Termination::Header, "byoc.mypurecloud.de".into());
                }
                "number_source" => trunk.number_source = NumberSource::To,
                "name" => trunk.name = value.into(),
                _ => unknown = true,
            }
        }),
        _ => unknown = true,
    }
    if unknown { Err("nothing of that name can be set".to_owned()) } else { Ok(()) }
}

/// `ALGORITHM… by PASSWORD`, and ` auth-int` where the body counts.
fn authentication(value: &str) -> Arc<Authentication> {
    let (algorithms, password) = value.split_once(" by ").expect("by whom?");
    let (password, quality) = match password.strip_suffix(" auth-int") {
        Some(password) => (password, Quality::AuthInt),
        None => (password, Quality::Auth),
    };
    let algorithms: Vec<Algorithm> = algorithms.split(' ').filter_map(Algorithm::of).collect();
    let realm = "acme.example.com";
    let secret = |algorithm: &Algorithm| Secret::new(&algorithm.hash.ha1("acme", realm, password));
    Arc::new(Authentication {
        realm: realm.into(),
        username: "acme".into(),
        secrets: algorithms.iter().map(|algorithm| (algorithm.hash, secret(algorithm))).collect(),
        algorithms: algorithms.into(),
        qualities: [quality].into_iter().collect(),
        lifetime: Duration::from_secs(300),
    })
}

fn account(password: &str) -> Arc<Account> {
    Arc::new(Account { username: "acme".into(), password: Secret::new(password), realm: None })
}

fn required_header((name, value): (&str, &str)) -> Arc<RequiredHeader> {
    Arc::new(RequiredHeader { name: name.into(), value: Secret::new(value) })
}
