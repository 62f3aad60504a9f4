//! What the documents tell people to type works: every block of commands in README.md and docs/ is run against the fakes, or is for
//! people, with a reason; every line of `kuryr` is taken by its command line; and nothing the code can say is missing from
//! docs/troubleshooting.md; and the rights they ask for are those that are used.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod blocks;
mod entries;
#[path = "../fakes/mod.rs"]
mod fakes;
mod literals;
mod rights;
mod scene;
mod shell;
mod treatment;
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use blocks::Document;
use scene::Scene;
use treatment::{Tool, Treatment};
use world::World;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md and docs/*.md.
fn documents() -> Vec<Document> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    paths.push(root().join("README.md"));
    paths.sort();
    paths.iter().map(|path| Document::read(path)).collect()
}

/// Every block of commands that is run, with its scene.
fn scripts() -> Vec<(String, Scene, String)> {
    let mut scripts = Vec::new();
    for document in documents() {
        for block in document.blocks {
            if let Ok(Treatment::Run(scene)) = treatment::of(&block) {
                scripts.push((format!("{}:{}", document.name, block.line), scene, block.text));
            }
        }
    }
    scripts
}

/// What clients of others a block and its scene need.
fn tools(scene: Scene, script: &str) -> BTreeSet<Tool> {
    let commands = shell::commands(script).into_iter().chain(shell::commands(scene.preparation()));
    commands.filter_map(|words| Tool::of(&words)).collect()
}

/// Runs those that need other clients, or those that do not.
fn run(with_clients: bool) {
    let chosen: Vec<_> =
        scripts().into_iter().filter(|(_, scene, script)| tools(*scene, script).is_empty() != with_clients).collect();
    assert!(chosen.len() >= 2, "hardly any block is run: {chosen:?}");
    let mut failed = Vec::new();
    for (place, scene, script) in &chosen {
        let world = World::new(*scene);
        let outcome = world.prepare().and_then(|()| world.run(script));
        if let Err(said) = outcome {
            failed.push(format!("{place} ({scene:?}):\n{script}\n{said}"));
        }
    }
    assert!(failed.is_empty(), "{} of {} blocks:\n{}", failed.len(), chosen.len(), failed.join("\n----\n"));
}

#[test]
fn every_command_is_run_or_for_people_with_a_reason() {
    let mut wrong = Vec::new();
    for document in documents() {
        wrong.extend(document.trouble.iter().map(|trouble| format!("{}: {trouble}", document.name)));
        for block in &document.blocks {
            let complaints = match treatment::of(block) {
                Ok(treatment) => treatment::complaints(&treatment, block),
                Err(complaint) => vec![complaint],
            };
            wrong.extend(complaints.iter().map(|complaint| format!("{}:{}: {complaint}", document.name, block.line)));
        }
    }
    let unused = treatment::unused(documents().iter().flat_map(|document| &document.blocks));
    wrong.extend(unused.iter().map(|entry| format!("no document has {entry:?} any more: take it from the list")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_line_of_kuryr_is_taken_by_its_command_line() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for document in documents() {
        let blocks = document.blocks.iter().filter(|block| block.is_shell());
        let in_blocks = blocks.flat_map(|block| shell::commands(&world::samples(&block.text)));
        let in_text = document.code_spans.iter().map(|span| shell::words(&world::samples(span)));
        for words in in_blocks.chain(in_text).filter(|words| treatment::is_kuryr(words)) {
            if seen.insert(words.clone())
                && let Err(complaint) = world::taken(&words)
            {
                wrong.push(format!("{}: {}: {complaint}", document.name, words.join(" ")));
            }
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_with_an_option_that_does_not_exist_is_found() {
    let taken = |line: &str| world::taken(&shell::words(line));
    taken("kuryr status -o json").unwrap();
    taken("kuryr install --print --values values.yaml").unwrap();
    for line in ["kuryr status --colour", "kuryr statsu", "kuryr status -o yaml", "kuryr install --print --check"] {
        assert!(taken(line).is_err(), "{line}");
    }
}

#[test]
fn blocks_that_need_only_kuryr_work() {
    run(false);
}

#[test]
#[ignore = "needs kubectl in $KUBE_BIN, helm in $HELM and openstack; run by cargo xtask test"]
fn blocks_that_need_kubectl_helm_or_openstack_work() {
    std::env::var_os("KUBE_BIN").expect("KUBE_BIN names no folder with kubectl: run `cargo xtask bed executables`");
    std::env::var_os("HELM").expect("HELM names no executable: run beds/helm/build.sh, which prints one");
    run(true);
}
