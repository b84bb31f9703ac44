//! `tandem demo`: both platforms played on loopback, calls between them, and what Tandem made of each.

use super::exit;
use crate::config;
use crate::process::Running;
use crate::twin::scenario::{self, Played};
use crate::twin::{Lab, Scenario};
use serde_json::json;
use std::process::ExitCode;

/// What to play, and how to show it.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// The scenarios to play; without any, those that show the usual calls. --list names them all.
    #[arg(value_name = "SCENARIO", value_parser = scenario_named)]
    scenarios: Vec<Scenario>,
    /// Play every scenario.
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Name the scenarios and play none.
    #[arg(long)]
    list: bool,
    /// Let Genesys and Tandem ask each other for Digest, both ways.
    #[arg(long)]
    digest: bool,
    /// One line a scenario; ladders only of what went wrong.
    #[arg(short, long)]
    brief: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

fn scenario_named(name: &str) -> Result<Scenario, String> {
    Scenario::named(name).ok_or_else(|| "no scenario of this name; tandem demo --list names them".to_owned())
}

/// Plays, prints, and fails when anything was not as it should be.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        for scenario in Scenario::ALL {
            say!("{:<20}  {}", scenario.name(), scenario.title());
        }
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(exit::SYSTEM, &error, "the system gives no threads; look at its limits"),
    };
    runtime.block_on(demonstrate(arguments))
}

async fn demonstrate(arguments: &Arguments) -> ExitCode {
    let lab = if arguments.digest { Lab::proving("").await } else { Lab::start("").await };
    let lab = match lab {
        Ok(lab) => lab,
        Err(error) => {
            let remedy = "the demo needs 127.0.0.2 and 127.0.0.11 to 127.0.0.23, and a directory for temporary files";
            return super::complain(exit::UNAVAILABLE, &format!("the platforms cannot be played: {error}"), remedy);
        }
    };
    let settings = match config::load(&lab.configuration) {
        Ok(loaded) => loaded.settings,
        Err(findings) => {
            let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
            return super::complain(
                exit::SOFTWARE,
                &all.join("\n"),
                "report this: the demo's own configuration is wrong",
            );
        }
    };
    let running = match Running::start(settings) {
        Ok(running) => running,
        Err(error) => {
            return super::complain(error.exit_code(), &error, "run it once more: a port may have been taken");
        }
    };
    if !arguments.json {
        say!("Genesys Cloud BYOC and Microsoft Teams, both played on loopback over TLS, with Tandem between them.");
    }
    let chosen = match arguments.scenarios.as_slice() {
        [] if arguments.all => Scenario::ALL,
        [] => Scenario::SHOWN,
        chosen => chosen,
    };
    let mut all = Vec::with_capacity(chosen.len());
    for &scenario in chosen {
        let played = scenario::play(&lab, scenario).await;
        if !arguments.json {
            show(&played, arguments.brief);
        }
        all.push(played);
    }
    running.stop(true).await;
    let bad = all.iter().filter(|played| !played.is_good()).count();
    if arguments.json {
        say!("{:#}", json!({ "good": bad == 0, "scenarios": all.iter().map(as_json).collect::<Vec<_>>() }));
    } else if bad == 0 {
        say!("\n{} scenarios, everything as it should be.", all.len());
    } else {
        say!("\n{bad} of {} scenarios were not as they should be.", all.len());
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One scenario for people.
fn show(played: &Played, brief: bool) {
    let verdict = if played.is_good() { "ok " } else { "BAD" };
    let (name, title) = (played.scenario.name(), played.scenario.title());
    if brief && played.is_good() {
        return say!("{verdict} {name:<20}  {title}");
    }
    say!("\n── {name}: {title}\n\n{}", played.ladder.text());
    if !played.ladder.crossings.is_empty() {
        say!("  What Tandem changed:\n{}", played.ladder.changes_text());
    }
    for (platform, breach) in &played.breaches {
        say!("  {platform} found a breach of {breach}");
    }
    if let Some(unmet) = &played.unmet {
        say!("  {unmet}");
    }
    say!("  {verdict} {name}");
}

/// One scenario for machines.
fn as_json(played: &Played) -> serde_json::Value {
    let breaches = played
        .breaches
        .iter()
        .map(|(platform, breach)| json!({ "platform": platform, "rule": breach.rule, "text": breach.text }));
    json!({
        "name": played.scenario.name(),
        "title": played.scenario.title(),
        "good": played.is_good(),
        "unmet": played.unmet.as_ref().map(ToString::to_string),
        "breaches": breaches.collect::<Vec<_>>(),
        "ladder": played.ladder.rows,
        "changes": played.ladder.crossings,
    })
}
