//! Configuration files with and without mistakes.

use std::path::{Path, PathBuf};

use daemon::config::{Complaints, Document, Secret, Table, load};
use serde_json::json;

/// What a small daemon would read.
#[derive(Debug, PartialEq)]
struct Settings {
    name: String,
    threads: usize,
    address: std::net::SocketAddr,
    certificates: Vec<(PathBuf, PathBuf)>,
    device: Option<PathBuf>,
    token: Option<Secret>,
}

fn settings(root: &Table<'_>) -> Option<Settings> {
    let name = root.required("name");
    let token = root.secret("token");
    let listen = root.table("listen");
    let threads = listen.within("threads", 4, 0..=64);
    let address = listen.required("address");
    let tls = root.table("tls");
    let certificates: Option<Vec<_>> = tls
        .tables("certificates")
        .iter()
        .map(|table| {
            let certificate = table.required_file("certificate");
            let key = table.required_file("key");
            Some((certificate?, key?))
        })
        .collect();
    let disk = root.table("cache").optional_table("disk");
    let device = disk.as_ref().map(|disk| disk.required::<PathBuf>("device"));
    Some(Settings {
        name: name?,
        threads,
        address: address?,
        certificates: certificates?,
        device: device.flatten(),
        token,
    })
}

const RIGHT: &str = r#"
name = "edge-1"
token = { environment = "PATH" }

[listen]
address = "127.0.0.1:8080"

[tls]
certificates = [{ certificate = "cert.pem", key = "key.pem" }]

[cache.disk]
device = "/dev/nvme0n1"
"#;

fn read(text: &str) -> Result<Settings, Complaints> {
    let document = Document::parse(Path::new("a.toml"), text)?;
    let settings = settings(&document.root());
    document.finish(settings)
}

fn complaints(text: &str) -> Vec<String> {
    read(text)
        .unwrap_err()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_written_and_what_is_not_become_values() {
    assert_eq!(
        read(RIGHT).unwrap(),
        Settings {
            name: "edge-1".into(),
            threads: 4,
            address: "127.0.0.1:8080".parse().unwrap(),
            certificates: vec![("cert.pem".into(), "key.pem".into())],
            device: Some("/dev/nvme0n1".into()),
            token: Some(Secret::Environment("PATH".into())),
        }
    );
    let bare = "name = 'x'\nlisten.address = '[::1]:1'";
    let settings = read(bare).unwrap();
    assert_eq!(
        (settings.certificates, settings.device, settings.token),
        (vec![], None, None)
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text =
        "name = 'edge-1'\n\n[listen]\nthreads = \"two\"\nadress = \"127.0.0.1:8080\"\n\n[cache]\nsize = 1\n";
    assert_eq!(
        complaints(text),
        [
            "a.toml:3: listen.address: is missing; add `address = …` to [listen]",
            "a.toml:4: listen.threads: not understood: string \"two\"; write a whole number, 0 or more",
            "a.toml:5: listen.adress: unknown key; did you mean `address`?",
            "a.toml:8: cache.size: unknown key; known here: disk",
        ]
    );
}

#[test]
fn a_mistake_is_found_wherever_it_stands() {
    let listen = "name = 'x'\n[listen]\naddress = '127.0.0.1:1'\n";
    for (text, expected) in [
        (
            format!("{listen}threads = 65"),
            "a.toml:4: listen.threads: 65 is out of range; write a value from 0 to 64",
        ),
        (
            format!("{listen}threads = -1"),
            "a.toml:4: listen.threads: not understood: integer `-1`; write a whole number, 0 or more",
        ),
        (
            format!("{listen}[tls]\ncertificates = 5"),
            "a.toml:5: tls.certificates: is of type integer; write a list of tables: [{ … }]",
        ),
        (
            format!("{listen}[tls]\ncertificates = [5]"),
            "a.toml:5: tls.certificates: is of type integer; write a table",
        ),
        (
            format!(
                "{listen}[tls]\ncertificates = [\n  {{ certificate = 'a', key = 'b' }},\n  {{ certificate = 'c' }},\n]"
            ),
            "a.toml:7: tls.certificates[1].key: is missing; add `key = …` to [tls.certificates[1]]",
        ),
        (
            format!("{listen}[[tls.certificates]]\ncertificate = 'a'\nkey = 'b'\nkind = 'c'"),
            "a.toml:7: tls.certificates[0].kind: unknown key; known here: certificate, key",
        ),
        (
            format!("{listen}[cache.disk]\ndevice = 'a'\ndevcie = 'b'"),
            "a.toml:6: cache.disk.devcie: unknown key; did you mean `device`?",
        ),
        (
            format!("{listen}[cahce.disk]\ndevice = 'a'"),
            "a.toml:4: cahce: unknown key; did you mean `cache`?",
        ),
        (
            format!("{listen}[cache]\ndisk = 'a'"),
            "a.toml:5: cache.disk: is of type string; write a table",
        ),
    ] {
        assert_eq!(complaints(&text), [expected], "{text}");
    }
}

#[test]
fn one_key_gets_one_complaint() {
    let text = "list = 5";
    let document = Document::parse(Path::new("a.toml"), text).unwrap();
    let root = document.root();
    if root.or("list", Vec::<u16>::new()).is_empty() {
        root.complain("list", "is empty", "write a number");
    }
    let found = document.finish(Some(())).unwrap_err().to_string();
    assert_eq!(
        found,
        "a.toml:1: list: not understood: integer `5`; write a list in [ ]"
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_every_line_that_is_not() {
    let found = complaints("name = \n[listen]\nthreads = = 2\n");
    assert!(
        found.iter().all(|line| line.contains("this is not TOML")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|line| line.starts_with("a.toml:1:")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|line| line.starts_with("a.toml:3:")),
        "{found:?}"
    );
}

#[test]
fn a_secret_written_into_the_file_is_refused_without_repeating_it() {
    let found = complaints("name = 'x'\ntoken = 'hunter2'\n[listen]\naddress = '127.0.0.1:1'");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("a.toml:2: token: is of type string; write { file"),
        "{found:?}"
    );
    assert!(!found[0].contains("hunter2"));
}

#[test]
fn files_and_secrets_that_are_named_are_looked_for_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("cert.pem");
    std::fs::write(&certificate, "x").unwrap();
    let text = RIGHT
        .replace("\"cert.pem\"", &format!("{certificate:?}"))
        .replace("\"PATH\"", "\"MILLRACE_NO_SUCH_VARIABLE\"");
    assert!(read(&text).is_ok());

    let document = Document::parse(Path::new("a.toml"), &text).unwrap();
    let value = settings(&document.root());
    document.check_outside();
    let found = document.finish(value).unwrap_err().to_string();
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(
        lines[0]
            .starts_with("a.toml:3: token: the environment variable MILLRACE_NO_SUCH_VARIABLE is not set;")
    );
    assert!(
        lines[1].starts_with("a.toml:9: tls.certificates[0].key: cannot read the file key.pem: "),
        "{found}"
    );
}

#[test]
fn the_effective_document_has_defaults_and_absences_and_no_password() {
    let text = RIGHT.replace("edge-1", "https://user:hunter2@host/a@b");
    let document = Document::parse(Path::new("a.toml"), &text).unwrap();
    let _ = settings(&document.root()).unwrap();
    let _ = document.root().optional::<String>("label");
    assert_eq!(
        document.masked(),
        json!({
            "name": "https://***@host/a@b",
            "label": null,
            "token": { "environment": "PATH" },
            "listen.address": "127.0.0.1:8080",
            "listen.threads": 4,
            "tls.certificates[0].certificate": "cert.pem",
            "tls.certificates[0].key": "key.pem",
            "cache.disk.device": "/dev/nvme0n1",
        })
    );
}

#[test]
fn a_file_that_cannot_be_the_configuration_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let refused = |path: &Path| load(path).unwrap_err().to_string();
    assert!(
        refused(&path).contains("a.toml: cannot be read: No such file"),
        "{}",
        refused(&path)
    );
    assert!(
        refused(folder.path()).contains("cannot be read: Is a directory"),
        "{}",
        refused(folder.path())
    );
    std::fs::write(&path, b"name = \"\xff\"").unwrap();
    assert!(refused(&path).contains("is not UTF-8 text"), "{}", refused(&path));
    std::fs::write(&path, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    assert!(refused(&path).contains("is larger than"), "{}", refused(&path));
    std::fs::write(&path, RIGHT).unwrap();
    assert_eq!(load(&path).unwrap(), RIGHT);
}
