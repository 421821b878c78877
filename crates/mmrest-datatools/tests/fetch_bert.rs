//! A BERT from a hub, against a local one.
#![cfg(feature = "fetch")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mmrest_data::{DataError, SourceFile};
use mmrest_datatools::fetch::{
    FetchedBert, Fetcher, Hub, Policy, Silent, Source, check_bert, fetch_bert,
};
use server::{Answer, Asked, Server};

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 4, "hidden_size": 2}"#;

type Files = BTreeMap<&'static str, Vec<u8>>;

fn safetensors() -> Vec<u8> {
    let header = r#"{"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend([0; 4000]);
    file
}

fn model() -> Files {
    BTreeMap::from([
        ("config.json", CONFIG.as_bytes().to_vec()),
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n".to_vec()),
        ("model.safetensors", safetensors()),
    ])
}

/// Answers as the hub does: a renamed model by a redirect within, large files by one to a store.
fn hub(files: Files, store: Option<String>) -> Server {
    Server::start(move |_, asked| {
        if let Some(rest) = asked.path.strip_prefix("/old/") {
            let moved = Answer::status("307 Temporary Redirect");
            return moved.header("Location", &format!("/new/{rest}")).length(0);
        }
        let name = asked.path.strip_prefix("/new/bert/resolve/main/");
        let Some(file) = name.and_then(|name| files.get(name)) else {
            return Answer::status("404 Not Found").length(0);
        };
        let commit = |answer: Answer| answer.header("X-Repo-Commit", "abc123");
        match &store {
            Some(store) if asked.path.ends_with(".safetensors") => {
                let linked = format!("\"{}\"", sha256(file));
                commit(Answer::status("302 Found"))
                    .header("X-Linked-Etag", &linked)
                    .header("Location", store)
                    .length(0)
            }
            _ => commit(part(file, asked)),
        }
    })
}

/// All of a file, or the part of it that is asked for.
fn part(file: &[u8], asked: &Asked) -> Answer {
    let answer = match (asked.start(), asked.header("range")) {
        (Some(_), Some("bytes=0-0")) => Answer::status("206 Partial Content")
            .header("Content-Range", &format!("bytes 0-0/{}", file.len()))
            .length(1)
            .body(&file[..1]),
        (Some(start), _) => Answer::rest(file, start),
        _ => Answer::whole(file),
    };
    answer.etag("\"tag\"")
}

fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), bytes).unwrap();
    SourceFile::read(&folder.path().join("a")).unwrap().sha256
}

fn fetcher() -> Fetcher {
    Fetcher::new(Policy {
        tries: 2,
        first_wait: Duration::from_millis(5),
        read_timeout: Duration::from_secs(30),
        ..Policy::default()
    })
}

fn at(server: &Server) -> Hub {
    Hub {
        endpoint: server.address.clone(),
        token: Some("secret".to_owned()),
        cache: None,
    }
}

/// Into `bert` below a folder.
fn fetch(hub: &Hub, model: &str, parent: &Path, force: bool) -> Result<FetchedBert, DataError> {
    let folder = parent.join("bert");
    fetch_bert(
        &fetcher(),
        hub,
        &model.parse().unwrap(),
        &folder,
        force,
        &Silent,
    )
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_bert_is_fetched_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Server::scripted(vec![Answer::whole(&safetensors())]);
    let server = hub(model(), Some(format!("{}/blob", store.address)));
    for owner in ["new", "old"] {
        let parent = folder.path().join(owner);
        let bert = fetch(&at(&server), &format!("{owner}/bert"), &parent, false).unwrap();
        assert_eq!(bert.folder, parent.join("bert"));
        assert_eq!(bert.files.len(), 3);
        assert_eq!(check_bert(&bert.folder), Ok(()));
        assert_eq!(names(&parent), ["bert"], "nothing is left beside it");
        for file in &bert.files {
            assert_eq!(SourceFile::read(&file.path).unwrap().sha256, file.sha256);
        }
    }
    let asked = server.asked();
    let told = |asked: &Asked| asked.header("authorization") == Some("Bearer secret");
    assert!(told(&asked[0]));
    assert!(
        !store.asked().iter().any(told),
        "the token stays at the hub"
    );

    let before = server.asked().len();
    let again = fetch(&at(&server), "new/bert", &folder.path().join("new"), false).unwrap();
    assert!(again.files.is_empty());
    assert_eq!(server.asked().len(), before);
    let again = fetch(&at(&server), "new/bert", &folder.path().join("new"), true).unwrap();
    assert_eq!(again.files.len(), 3);
    assert_eq!(names(&folder.path().join("new")), ["bert"]);
}

#[test]
fn old_checkpoints_and_a_tokenizers_configuration_are_fetched_where_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = model();
    files.remove("model.safetensors");
    files.insert("pytorch_model.bin", b"PK\x03\x04rest".to_vec());
    files.insert(
        "tokenizer_config.json",
        b"{\"do_lower_case\": true}".to_vec(),
    );
    let bert = fetch(&at(&hub(files, None)), "new/bert", folder.path(), false).unwrap();
    assert!(bert.folder.join("pytorch_model.bin").is_file());
    assert!(bert.folder.join("tokenizer_config.json").is_file());
}

#[test]
fn what_is_no_bert_is_refused_before_its_weights_are_fetched() {
    let change = |name: &'static str, content: Option<&str>| {
        let mut files = model();
        files.remove(name);
        if let Some(content) = content {
            files.insert(name, content.as_bytes().to_vec());
        }
        files
    };
    let roberta = r#"{"model_type": "roberta", "vocab_size": 4}"#;
    for (files, told) in [
        (change("config.json", None), "no config.json"),
        (
            change("config.json", Some(roberta)),
            "model_type is \"roberta\"",
        ),
        (change("config.json", Some("{\"model")), "not JSON"),
        (change("config.json", Some("<html></html>")), "a web page"),
        (change("vocab.txt", None), "no vocab.txt"),
        (change("vocab.txt", Some("\n")), "vocab.txt is empty"),
        (change("vocab.txt", Some("a\nb\nc\nd\ne\n")), "5 tokens"),
        (
            change("model.safetensors", None),
            "model.safetensors or pytorch_model.bin",
        ),
        (change("model.safetensors", Some("short")), "cut short"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = hub(files, None);
        let error = fetch(&at(&server), "new/bert", folder.path(), false).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(told), "{told:?} in {error}");
        assert!(!error.contains('\n'), "{error}");
        assert!(!folder.path().join("bert").exists());
        let weights = |asked: &Asked| asked.path.ends_with("model.safetensors");
        let early = !told.contains("model.safetensors") && told != "cut short";
        assert!(!early || !server.asked().iter().any(weights), "{told}");
    }
}

#[test]
fn an_interrupted_bert_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let weights = safetensors();
    let (files, cut) = (model(), std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(move |_, asked| {
        let name = asked.path.rsplit('/').next().unwrap();
        let Some(file) = files.get(name) else {
            return Answer::status("404 Not Found").length(0);
        };
        let answer = part(file, asked).header("X-Repo-Commit", "abc123");
        let weights = name == "model.safetensors" && asked.header("range") != Some("bytes=0-0");
        let count = || cut.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match weights.then(count) {
            Some(0) => answer.cut(1000),
            Some(1) => Answer::status("503 Busy").length(0),
            _ => answer,
        }
    });
    let error = fetch(&at(&server), "new/bert", folder.path(), false).unwrap_err();
    assert!(
        error.to_string().contains("go on from 1000 bytes"),
        "{error}"
    );
    assert_eq!(names(folder.path()), [".bert-abc123.part"]);
    std::fs::create_dir(folder.path().join(".bert-older.part")).unwrap();
    let bert = fetch(&at(&server), "new/bert", folder.path(), false).unwrap();
    assert_eq!(
        std::fs::read(bert.folder.join("model.safetensors")).unwrap(),
        weights
    );
    assert_eq!(names(folder.path()), ["bert"]);
    let whole = |asked: &&Asked| asked.header("range").is_none();
    let configs = server.asked();
    let configs = configs
        .iter()
        .filter(|asked| asked.path.ends_with("config.json"));
    assert_eq!(configs.filter(whole).count(), 1, "it had arrived");
}

#[test]
fn a_model_that_changes_meanwhile_is_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let files = model();
    let server = Server::start(move |_, asked| {
        let name = asked.path.rsplit('/').next().unwrap();
        let commit = if name == "config.json" { "one" } else { "two" };
        match files.get(name) {
            Some(file) => part(file, asked).header("X-Repo-Commit", commit),
            None => Answer::status("404 Not Found").length(0),
        }
    });
    let error = fetch(&at(&server), "new/bert", folder.path(), false).unwrap_err();
    assert!(error.to_string().contains("changed on the hub"), "{error}");
}

#[test]
fn the_users_cache_is_used_where_it_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("hub");
    let snapshot = cache.join("models--new--bert/snapshots/abc");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(cache.join("models--new--bert/refs")).unwrap();
    std::fs::write(cache.join("models--new--bert/refs/main"), "abc").unwrap();
    let server = hub(model(), None);
    let hub = Hub {
        cache: Some(cache),
        ..at(&server)
    };
    for (name, content) in model() {
        std::fs::write(snapshot.join(name), content).unwrap();
    }
    let bert = fetch(&hub, "new/bert", &folder.path().join("out"), false).unwrap();
    assert!(bert.files.iter().all(|file| file.source == Source::Cache));
    assert_eq!((bert.files.len(), server.asked().len()), (3, 0));

    std::fs::remove_file(snapshot.join("vocab.txt")).unwrap();
    let bert = fetch(&hub, "new/bert", &folder.path().join("other"), false).unwrap();
    assert!(bert.files.iter().all(|file| file.source == Source::Server));
}

#[test]
fn nothing_of_the_users_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let bert: PathBuf = folder.path().join("bert");
    std::fs::create_dir(&bert).unwrap();
    std::fs::write(bert.join("notes.txt"), "mine").unwrap();
    let server = hub(model(), None);
    for (force, told) in [(false, "by force"), (true, "notes.txt")] {
        let error = fetch(&at(&server), "new/bert", folder.path(), force).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!(names(&bert), ["notes.txt"]);
    }
}
