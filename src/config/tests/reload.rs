//! Reading the configuration again while it is in force.

use super::*;

/// The same lab after an edit, as a running process takes it up.
fn reloaded(running: &Settings, text: &str) -> Reload {
    let reload = diff(running, settings(text));
    for (place, trunk) in reload.settings.trunks.iter().enumerate() {
        assert_eq!(usize::from(trunk.trunk.id.0), place, "the index is the place");
    }
    reload
}

#[test]
fn a_reload_without_change_changes_nothing() {
    let running = settings(LAB);
    let mut again = settings(LAB);
    again.admin_socket.clone_from(&running.admin_socket); // another folder
    let reload = diff(&running, again);
    assert!(reload.restart_keys.is_empty() && reload.retired.is_empty(), "{reload:?}");
    assert_eq!(reload.settings.trunks[0].trunk.listeners, [ListenerId(0)]);
}

#[test]
fn trunks_keep_their_index_over_a_reload() {
    let running = settings(LAB);
    let other = "[trunk.carrier]\nkind = \"generic\"\ntls = \"public\"\nhosts = [\"sip.example.net\"]\nsources = [\"198.51.100.0/24\"]\n";
    let text = changed("[trunk.teams]", &format!("{other}\n[trunk.teams]"));
    let text = format!("{text}\n[[route]]\nfrom = \"carrier\"\nto = [\"teams\", \"genesys\"]\n");
    let reload = reloaded(&running, &text);
    let names: Vec<&str> = reload.settings.trunks.iter().map(|trunk| &*trunk.trunk.name).collect();
    assert_eq!(names, ["teams", "genesys", "carrier"], "the new one comes last, wherever it stands in the file");
    let route = reload.settings.routes.last().unwrap();
    assert_eq!((route.from, route.to.as_slice()), (Some(TrunkId(2)), [TrunkId(0), TrunkId(1)].as_slice()));
}

#[test]
fn a_removed_trunk_is_retired_with_its_identity_and_comes_back_as_it_was() {
    let running = settings(LAB);
    let without = LAB.replace("[tls.public]", "[tls.other]").replace("\"public\"", "\"other\"");
    let (front, rest) = without.split_once("[trunk.genesys]").unwrap();
    let rest = rest.split_once("[[route]]").unwrap().1;
    let text = format!("{front}[[route]]{rest}").replace("\"genesys\"", "\"teams\"");
    let reload = reloaded(&running, &text);
    assert_eq!(reload.retired, ["genesys"]);
    assert!(reload.settings.trunks[1].trunk.retired && !reload.settings.trunks[0].trunk.retired);
    assert!(reload.settings.identities.contains_key("public"), "its connections live on");
    let later = reloaded(&reload.settings, &text);
    assert!(later.retired.is_empty() && later.settings.trunks.len() == 2, "told once");
    let back = reloaded(&later.settings, LAB);
    assert!(!back.settings.trunks[1].trunk.retired);
}

/// The lab with a trunk more, in front of the others.
fn with_trunk(name: &str) -> String {
    let other =
        "kind = \"generic\"\ntls = \"public\"\nhosts = [\"sip.example.net\"]\nsources = [\"198.51.100.0/24\"]\n";
    let route = format!("\n[[route]]\nfrom = \"{name}\"\nto = [\"genesys\"]\n");
    changed("[trunk.teams]", &format!("[trunk.{name}]\n{other}\n[trunk.teams]")) + &route
}

#[test]
fn the_place_of_a_forgotten_trunk_goes_to_the_next_new_one() {
    let both = format!(
        "{}\n[trunk.last]\nkind = \"generic\"\ntls = \"public\"\nsources = [\"203.0.113.0/24\"]\n",
        with_trunk("one")
    );
    let running = reloaded(&settings(LAB), &both).settings;
    let name = |settings: &Settings, at: usize| settings.trunks[at].trunk.name.to_string();
    assert_eq!((name(&running, 2), name(&running, 3)), ("one".into(), "last".into()));
    let kept = both.replace("[trunk.one]", "[trunk.two]").replace("\"one\"", "\"two\"");
    let mut running = reloaded(&running, &kept).settings;
    assert_eq!(name(&running, 4), "two", "the place of a retired trunk is taken");
    let id = TrunkId(2);
    close_trunk(&mut running, id);
    let closed = &running.trunks[2];
    assert!(closed.trunk.is_closed() && closed.tls.is_none() && &*closed.trunk.name == "one", "{closed:?}");
    let again = reloaded(&running, &kept.replace("[trunk.two]", "[trunk.three]").replace("\"two\"", "\"three\""));
    assert_eq!(name(&again.settings, 5), "three", "and that of a closed one");
    assert!(again.settings.trunks[2].trunk.is_closed(), "a reload does not open it");

    vacate_trunk(&mut running, id);
    assert!(running.trunks[2].trunk.is_vacant() && running.trunks.len() == 5, "the others stay where they are");
    let later = reloaded(&running, &kept.replace("[trunk.two]", "[trunk.three]").replace("\"two\"", "\"three\""));
    assert_eq!((later.settings.trunks.len(), name(&later.settings, 2)), (5, "three".into()));
    let route = later.settings.routes.last().unwrap();
    assert_eq!(route.from, Some(id), "routes know it there");
    assert_eq!(later.retired, ["two"]);
}

#[test]
fn a_trunk_that_comes_back_while_it_is_closed_is_whole_again() {
    let running = reloaded(&settings(LAB), &with_trunk("one")).settings;
    let mut running = reloaded(&running, LAB).settings;
    close_trunk(&mut running, TrunkId(2));
    let back = reloaded(&running, &with_trunk("one")).settings;
    assert!(back.trunks.len() == 3 && !back.trunks[2].trunk.retired && back.trunks[2].tls.is_some());
    assert_eq!(back.trunks[2].trunk.sources.len(), 1);
}

#[test]
fn a_trunk_added_and_removed_a_thousand_times_leaves_no_place_behind() {
    let (lab, mut running) = (settings(LAB), settings(LAB));
    let mut one = settings(&with_trunk("one"));
    for count in 0..1000 {
        let name: Arc<str> = format!("trunk{count}").into();
        one.trunks[0].trunk = Arc::new(Trunk { name, ..(*one.trunks[0].trunk).clone() });
        running = diff(&running, one.clone()).settings;
        running = diff(&running, lab.clone()).settings;
        assert!(running.trunks.len() == 3 && running.trunks[2].trunk.retired);
        close_trunk(&mut running, TrunkId(2));
        vacate_trunk(&mut running, TrunkId(2));
        assert_eq!(running.trunks.len(), 2);
    }
}

#[test]
fn more_trunks_than_there_are_places_are_refused_and_the_running_ones_stay() {
    let folder = folder_with(&leaf(), rsa());
    let mut running = loaded_in(&folder, LAB).unwrap().settings;
    while running.trunks.len() < MAX_TRUNKS {
        let id = TrunkId(running.trunks.len() as u16);
        let trunk =
            Trunk { id, name: format!("old{}", id.0).into(), retired: true, ..(*running.trunks[0].trunk).clone() };
        running.trunks.push(TrunkSettings { trunk: Arc::new(trunk), ..running.trunks[0].clone() });
    }
    assert!(reload(&running.path, &running).is_ok(), "nothing new");
    write(&folder, "tandem.toml", &with_trunk("one"));
    assert!(reload(&running.path, &running).unwrap_err()[0].message.contains("more than 1024 trunks"));
    assert_error(&changed("[trunk.teams]", "[trunk.\"\"]"), "a trunk without a name", "");
}

#[test]
fn keys_that_need_a_restart_are_named_and_kept() {
    let running = settings(LAB);
    let text = changed("workers = 2", "workers = 3\nt1 = \"100ms\"\nmax_calls = 9");
    let text = format!(
        "{text}\n[http]\nlisten = \"127.0.0.1:8081\"\n[admin]\nsocket = \"x.sock\"\n[log]\nformat = \"json\"\n[dns]\nservers = [\"127.0.0.2\"]\n"
    );
    let reload = reloaded(&running, &text);
    assert_eq!(reload.restart_keys, ["edge.workers", "edge.t1", "http.listen", "admin.socket", "log", "dns.servers"]);
    let kept = reload.settings;
    assert_eq!((kept.workers, kept.edge.t1, kept.http), (2, running.edge.t1, None));
    assert_eq!((kept.admin_socket, kept.log, kept.name_servers), (running.admin_socket, running.log, Vec::new()));
    assert_eq!(kept.edge.max_calls, 9, "the others change");
}

#[test]
fn listeners_wait_for_a_restart_and_trunks_follow_those_that_are_there() {
    let running = settings(&changed("[\"tls:127.0.0.1:5061\"]", "[\"tls:127.0.0.1:5062\", \"tls:127.0.0.1:5061\"]"));
    let reload = diff(&running, settings(LAB));
    assert!(reload.restart_keys.contains(&"listen".to_owned()));
    assert_eq!(reload.settings.listeners.len(), 2, "what is bound stays bound");
    assert_eq!(reload.settings.trunks[0].trunk.listeners, [ListenerId(1)], "the same address, not the same place");

    let moved = diff(&running, settings(&changed("127.0.0.1:5061", "127.0.0.1:5063")));
    assert!(moved.restart_keys.contains(&"listen".to_owned()));
    let trunk = &moved.settings.trunks[0].trunk;
    let source = "52.112.0.10:40000".parse().unwrap();
    assert!(trunk.may_call(source, ListenerId(1), Transport::Tls), "where it could so far");
    assert_eq!(trunk.port, running.trunks[0].trunk.port, "its Contact leads there");
}

#[test]
fn a_trunk_that_is_new_or_has_a_new_neighbour_waits_for_its_listener_and_a_warning_says_so() {
    let folder = folder_with(&leaf(), rsa());
    let running = loaded_in(&folder, LAB).unwrap().settings;
    write(
        &folder,
        "tandem.toml",
        &changed("127.0.0.1:5061", "127.0.0.1:5063")
            .replace("trunk.genesys]", "trunk.other]")
            .replace("\"genesys\"]", "\"other\"]")
            .replace("from = \"genesys\"", "from = \"other\""),
    );
    let reload = reload(&running.path, &running).unwrap();
    let waiting: Vec<_> = reload.warnings.iter().filter(|warning| warning.message.contains("is open")).collect();
    assert!(waiting.len() == 1 && waiting[0].message.contains("trunk other"), "{:?}", reload.warnings);

    let mut moved = settings(&changed("127.0.0.1:5061", "127.0.0.1:5063"));
    let sources = moved.trunks[0].trunk.sources.clone();
    moved.trunks[1].trunk = Arc::new(Trunk { sources, ..(*moved.trunks[1].trunk).clone() });
    let source = "52.112.0.10:40000".parse().unwrap();
    let moved = diff(&running, moved).settings;
    let called = |listener: &ListenerSettings| moved.trunks[0].trunk.may_call(source, listener.id, Transport::Tls);
    assert!(!moved.listeners.iter().any(called), "which policy of TLS would hold?");
}

#[test]
fn a_bad_new_file_leaves_the_running_settings_alone() {
    let folder = folder_with(&leaf(), rsa());
    let running = loaded_in(&folder, LAB).unwrap().settings;
    write(&folder, "tandem.toml", &changed("\"public\"", "\"publik\""));
    assert!(reload(&running.path, &running).unwrap_err()[0].message.contains("publik"));
    write(&folder, "tandem.toml", LAB);
    assert!(reload(&running.path, &running).unwrap().restart_keys.is_empty());
}

#[test]
fn no_text_panics() {
    use proptest::prelude::*;
    let folder = TempDir::new().unwrap();
    let words = "\\PC{0,80}|(\\[?\\[?(edge|trunk|trunk.x|tls|tls.y|route|hosts|limits)\\]?\\]?\n|(fqdn|kind|listen|hosts|to|number|tls|sources|limits) = (\"[a-z*+0-9.:/]{0,12}\"|[0-9]{1,3}|\\[\\]|\\{\\}|true)\n){0,12}";
    proptest!(ProptestConfig::with_cases(300), |(text in words)| {
        let source = Source { path: folder.path().join("t.toml"), text };
        for finding in settle(source, 0).map_or_else(|findings| findings, |loaded| loaded.warnings) {
            finding.render(false);
        }
    });
}
