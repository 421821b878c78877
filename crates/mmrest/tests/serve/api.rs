//! The answers of the server, compared with the output of `mmrest predict`.

use serde_json::{Value, json};

use crate::common::{fail, json_lines, succeed};
use crate::program::{Served, train, trained};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// Lines of every kind: all modalities, one of them, none.
fn lines(model: &Value) -> String {
    let frames = |modality: &str, count: usize| {
        let width = model["features"][modality].as_u64().unwrap();
        let frame = |t: usize| {
            (0..width)
                .map(|f| (t as f64 * 0.3 + f as f64).sin())
                .collect()
        };
        let frames: Vec<Vec<f64>> = (0..count).map(frame).collect();
        json!(frames)
    };
    let lines = [
        json!({"id": "all", "text": "it was wonderful", "vision": frames("vision", 7), "audio": frames("audio", 40)}),
        json!({"text": "a terrible, boring film"}),
        json!({"audio": frames("audio", 3)}),
        json!({}),
    ];
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn close(a: &Value, b: &Value) -> bool {
    (number(a) - number(b)).abs() <= 1e-4 * number(b).abs().max(1.0)
}

#[test]
fn answers_are_predict_s_lines() {
    let mut server = Served::new(&[]);
    let model = server.model();
    let lines = lines(&model);
    let input = trained().arg("in.jsonl");
    std::fs::write(&input, &lines).unwrap();
    let predicted = succeed(&["predict", &trained().arg("run"), "--input", &input]);
    let predicted = json_lines(&predicted);

    let (status, answered) = server.post("/v1/predict", LINES, &lines);
    assert_eq!(status, 200, "{answered}");
    same(&json_lines(&answered), &predicted);
    let array = format!("[{}]", lines.trim().replace('\n', ","));
    let (_, answered) = server.post("/v1/predict", JSON, &array);
    same(
        &serde_json::from_str::<Vec<Value>>(&answered).unwrap(),
        &predicted,
    );
    let first = lines.lines().next().unwrap();
    let (_, answered) = server.post("/v1/predict", JSON, first);
    same(&[serde_json::from_str(&answered).unwrap()], &predicted[..1]);

    geometry(&server, &model, &lines);
    wrong(&server);
    stops(&mut server);
}

/// The same ids, keys and numbers; the last digits may differ, for batches do.
fn same(answered: &[Value], predicted: &[Value]) {
    assert_eq!(answered.len(), predicted.len());
    for (ours, theirs) in answered.iter().zip(predicted) {
        assert_eq!(ours["id"], theirs["id"]);
        assert_eq!(ours["missing"], theirs["missing"]);
        assert_eq!(ours["label"], theirs["label"]);
        for bound in [0, 1] {
            assert!(close(&ours["interval"][bound], &theirs["interval"][bound]));
        }
        for key in ["prediction", "score", "bias"] {
            assert!(close(&ours[key], &theirs[key]), "{key}: {ours} {theirs}");
        }
        let clusters = ours["clusters"].as_array().unwrap();
        assert_eq!(clusters.len(), 2);
        for (ours, theirs) in clusters.iter().zip(theirs["clusters"].as_array().unwrap()) {
            assert_eq!(ours["cluster"], theirs["cluster"]);
            assert_eq!(ours["sentiment"], theirs["sentiment"]);
            assert!(close(&ours["distance"], &theirs["distance"]));
        }
    }
}

/// Rows whose distances and shares make the clusters and the bias; the model's own clusters.
fn geometry(server: &Served, model: &Value, lines: &str) {
    let file = &trained().json("run/model/state.json")["clusters"];
    let clusters = model["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), file["bins"].as_array().unwrap().len());
    let (_, answered) = server.post("/v1/predict?geometry=1", LINES, lines);
    for line in json_lines(&answered) {
        let rows = line["geometry"].as_array().unwrap();
        let modalities: Vec<&Value> = rows.iter().map(|row| &row["modality"]).collect();
        assert_eq!(json!(modalities), model["modalities"]);
        let shares: f64 = rows.iter().map(|row| number(&row["bias"])).sum();
        assert!(close(&json!(shares), &line["bias"]), "{line}");
        for near in line["clusters"].as_array().unwrap() {
            let index = near["cluster"].as_u64().unwrap() as usize;
            let mean = rows
                .iter()
                .map(|row| number(&row["distances"][index]))
                .sum::<f64>()
                / 3.0;
            assert!(close(&json!(mean), &near["distance"]), "{line}");
        }
        for row in rows {
            let distances: Vec<f64> = row["distances"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            assert_eq!(distances.len(), clusters.len());
            let nearest = row["nearest"].as_u64().unwrap() as usize;
            assert!(distances.iter().all(|d| *d >= distances[nearest]));
            assert!(number(&row["x"]).is_finite() && number(&row["y"]).is_finite());
        }
    }
}

/// One sentence that says which element is wrong, and a server that goes on.
fn wrong(server: &Served) {
    for (path, kind, body, status, said) in [
        (
            "/v1/predict",
            JSON,
            "[{}, {\"audio\": [[1]]}]",
            400,
            "element 2: audio has 1 feature a frame, the model takes",
        ),
        (
            "/v1/predict",
            LINES,
            "{}\n{\"txt\": 1}",
            400,
            "line 2: not a segment",
        ),
        (
            "/v1/predict",
            "text/plain",
            "{}",
            415,
            "send application/json",
        ),
        (
            "/v1/predict?explain=1",
            JSON,
            "{}",
            400,
            "?explain=1 is not known",
        ),
        ("/v1/nothing", JSON, "{}", 404, "/v1/predict"),
        ("/metrics", JSON, "{}", 405, "GET"),
    ] {
        let (found, answer) = server.post(path, kind, body);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let error = answer["error"].as_str().unwrap();
        assert!(found == status && error.contains(said), "{found} {error}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).0, 200);
    }
    assert_eq!(
        server.metric("mmrest_requests_total{path=\"/v1/predict\",code=\"400\"}"),
        3.0
    );
    assert_eq!(server.metric("mmrest_scored_segments_total"), 13.0);
    assert!(server.metric("mmrest_batch_segments_count") >= 4.0);
}

/// A signal ends it in good order; the log has its requests and none of their words.
fn stops(server: &mut Served) {
    let ended = server.end_by("-TERM");
    let log = server.log();
    assert_eq!(ended.code(), Some(0), "{log}");
    assert!(
        log.contains("access") && log.contains("path=\"/v1/predict\" status=200 segments=4"),
        "{log}"
    );
    assert!(log.contains("every request was answered"), "{log}");
    assert!(
        !log.contains("wonderful") && !log.contains("panicked"),
        "{log}"
    );
}

/// A bias that is not a mean over rows has no shares; without clusters there is no geometry.
#[test]
fn other_models_say_what_they_have() {
    let trained = trained();
    let (ordinal, bare) = (trained.arg("ordinal"), trained.arg("bare"));
    train(
        trained,
        "ordinal",
        &["--epochs", "1", "--set", "preset=ordinal"],
    );
    let off = [
        "--set",
        "model.mmrest.mmc=false",
        "--set",
        "model.mmrest.bias=false",
    ];
    train(trained, "bare", &[&["--epochs", "1"][..], &off].concat());
    let answer = |run: &str| {
        let server = Served::of(run, &[]);
        let body = "{\"text\": \"a wonderful film\"}";
        let (status, answer) = server.post("/v1/predict?geometry=1", JSON, body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        (server.model(), answer)
    };
    let (model, scored) = answer(&ordinal);
    assert_eq!(model["bias"]["kind"], "expectation");
    assert!(number(&scored["bias"]) != 0.0, "{scored}");
    let rows = scored["geometry"].as_array().unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row["bias"].is_null()));
    let (model, scored) = answer(&bare);
    assert_eq!(
        (&model["clusters"], &model["explained"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(model["bias"]["on"], false);
    assert_eq!(
        (&scored["geometry"], &scored["clusters"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(scored["score"], scored["prediction"]);
}

#[test]
fn what_keeps_it_from_serving_is_one_sentence() {
    let (run, nowhere) = (trained().arg("run"), trained().arg("nowhere"));
    assert!(fail(&["serve", &nowhere, "--port", "0"]).contains(&nowhere));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let errors = fail(&["serve", &run, "--port", &port]);
    assert!(
        errors.contains("cannot listen on 127.0.0.1:") && errors.contains("--port"),
        "{errors}"
    );
}

#[test]
fn an_address_open_to_others_is_warned_of() {
    let mut server = Served::new(&["--host", "0.0.0.0", "--insecure"]);
    let port = server.base.rsplit(':').next().unwrap().to_string();
    server.base = format!("http://127.0.0.1:{port}");
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.end_by("-INT").code(), Some(0));
    let log = server.log();
    assert!(log.contains("no password"), "{log}");
}

#[test]
fn other_machines_need_a_token_or_a_word_that_they_need_none() {
    let run = trained().arg("run");
    let told = fail(&["serve", &run, "--port", "0", "--host", "0.0.0.0"]);
    assert!(
        told.contains("--token-file") && told.contains("--insecure"),
        "{told}"
    );
    let file = trained().arg("token");
    std::fs::write(&file, "short").unwrap();
    let options = ["--host", "0.0.0.0", "--token-file", &file];
    let told = fail(&[&["serve", &run, "--port", "0"], &options[..]].concat());
    assert!(told.contains("token: is no token"), "{told}");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    let server = Served::new(&options);
    assert_eq!(server.get("/v1/model").0, 401);
    assert_eq!(server.get("/healthz").0, 200);
}

#[cfg(unix)]
#[test]
fn a_model_that_cannot_be_read_again_leaves_the_one_in_use() {
    let run = trained().path("again");
    let copy = std::process::Command::new("cp")
        .arg("-r")
        .arg(trained().path("run"))
        .arg(&run)
        .status();
    assert!(copy.unwrap().success());
    let mut server = Served::of(run.to_str().unwrap(), &[]);
    let weights = run.join("model/weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    server.signal("-HUP");
    let began = std::time::Instant::now();
    while !server.log().contains("the one in use stays") {
        assert!(began.elapsed().as_secs() < 60, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(server.post("/v1/predict", JSON, "{}").0, 200);
    assert!(server.log().contains("weights.safetensors: is damaged"));
    assert_eq!(server.end_by("-TERM").code(), Some(0), "{}", server.log());
}
