//! Tests of `mirror-on-miss check` on whole files: what stands around the plugin, and what a container makes of a file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected has failed"
)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// Exit code, standard output and standard error.
type Ended = (i32, String, String);

fn run(arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-on-miss"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).envs(variables.iter().copied());
    for name in ["AWS_REGION", "BUCKET", "IF_NONE_MATCH", "ORIGIN", "STORE", "WIRING"] {
        if !variables.iter().any(|(given, _)| *given == name) {
            command.env_remove(name);
        }
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read it has ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn edge() -> String {
    fs::read_to_string("envoy/configuration/edge.yaml").unwrap()
}

/// The shipped edge with names of a site in place of the examples.
fn own_edge() -> String {
    edge().replace("my-bucket", "shop").replace("files.example.com", "old.shop.test")
}

fn check(file: &str) -> Ended {
    run(&["check", "-"], file, &[])
}

#[test]
fn an_edge_with_names_of_its_own_is_ok_and_each_example_in_it_is_reported() {
    assert_eq!(check(&own_edge()), (0, "ok\n".to_owned(), String::new()));
    let (code, output, _) = check(&own_edge().replace("old.shop.test", "cdn.example.org"));
    assert!(code == 1 && output.lines().count() == 1, "{output}");
    assert!(
        output.starts_with("stdin: cdn.example.org is an example, and was not replaced: static_resources."),
        "{output}"
    );
    let (code, output, _) = check(&edge());
    assert!(
        code == 1 && output.contains("my-bucket is an example") && output.contains("files.example.com is"),
        "{output}"
    );
}

#[test]
fn names_that_only_a_template_has_are_reported() {
    for name in ["@ORIGIN_HOST@", "${ORIGIN}", "{{ .Values.origin }}"] {
        let (code, output, _) = check(&own_edge().replace("\"old.shop.test\"", &format!("\"{name}\"")));
        assert!(code == 1 && output.contains(&format!("{name} stands for a name in a template")), "{name}: {output}");
    }
}

#[test]
fn streams_without_their_route_are_a_problem_and_the_route_without_streams_too() {
    let without_route = own_edge().replace("cluster_header: x-mirror-on-miss-cluster", "cluster: bucket");
    let (code, output, _) = check(&without_route);
    assert!(code == 1 && output.contains("$.stream.marker: the file lacks the routes for"), "{output}");
    let without_streams = own_edge().replace("\"marker\": \"mirror-on-miss=stream\"", "");
    assert_ne!(without_streams, own_edge());
    assert!(check(&without_streams).1.contains("$.stream.marker: is missing"));
    let (code, output, _) = check(&without_streams.replace("\"stream\": {", "\"limits\": {"));
    assert!(code == 1 && output.contains("$.stream: is not set, and the file has a route for it"), "{output}");
}

#[test]
fn a_rule_for_a_bucket_that_fails_needs_envoys_half_and_the_other_way_round() {
    for name in ["edge", "transparent"] {
        let text = |on_5xx: &str| {
            let start = ["envoy/configuration/start.sh", "print", name];
            let done = std::process::Command::new("sh").args(start).env("ON_5XX", on_5xx).output().unwrap();
            String::from_utf8(done.stdout).unwrap()
        };
        let check = |text: &str| {
            let (code, output, _) = run(&["check", "--with-examples", "-"], text, &[]);
            (code, output)
        };
        let (off, on) = (text("pass"), text("origin"));
        assert_eq!([check(&off), check(&on)], [(0, "ok\n".to_owned()), (0, "ok\n".to_owned())]);
        let rule = "\"rules\": [{\"on_5xx\": \"origin\"}],";
        let (code, output) = check(&off.replace("\"stream\": {", &format!("{rule} \"stream\": {{")));
        assert!(code == 1 && output.contains("does not hear of a bucket that fails"), "{output}");
        let (code, output) = check(&on.replace(rule, ""));
        assert!(code == 1 && output.contains("no rule says \"origin\""), "{output}");
    }
}

#[test]
fn a_cluster_that_does_not_exist_is_a_problem_unless_clusters_come_by_discovery() {
    let edge = own_edge().replace("\"cluster\": \"signer\"", "\"cluster\": \"sinner\"");
    let (code, output, _) = check(&edge);
    let expected = "stdin: plugin mirror_on_miss: $.bucket.cluster: there is no cluster \"sinner\"; \
                    allowed is one of bucket, signer, origin, origin-streams\n";
    assert_eq!((code, output.as_str()), (1, expected));
    assert_eq!(check(&format!("{edge}\ndynamic_resources: {{}}\n")).0, 0);
    let edge = own_edge().replace("\"cluster\": \"origin\"", "\"cluster\": \"nobody\"");
    assert!(check(&edge).1.contains("the cluster of origin \"origin\": there is no cluster \"nobody\""));
    let edge = own_edge().replace("\"stream_cluster\": \"origin-streams\"", "\"stream_cluster\": \"nobody\"");
    assert!(check(&edge).1.contains("the stream_cluster of origin \"origin\": there is no cluster \"nobody\""));
}

#[test]
fn a_wait_that_envoy_cuts_short_is_a_problem() {
    let of = |time: &str| own_edge().replace("stream_idle_timeout: 60s", &format!("stream_idle_timeout: {time}"));
    let (code, output, _) = check(&of("25s"));
    assert!(code == 1 && output.contains("$.wait: 25s is not below Envoy's stream_idle_timeout, 25s"), "{output}");
    assert_eq!(check(&of("25.5s")).0, 0);
    assert_eq!(check(&of("0s")).0, 0, "no timeout");
    let route = own_edge().replace(
        "                  timeout: 0s\n                  retry_policy:\n",
        "                  timeout: 0s\n                  idle_timeout: 5s\n                  retry_policy:\n",
    );
    let (code, output, _) = check(&route);
    assert!(code == 1 && output.contains("Envoy's idle_timeout of the route object, 5s"), "{output}");
}

#[test]
fn several_files_are_checked_and_one_without_the_plugin_may_be_among_them() {
    let files = ["check", "--with-examples", "envoy/configuration/edge.yaml", "envoy/configuration/signer.yaml"];
    assert_eq!(run(&files, "", &[]).1, "ok\n");
    let (code, output, _) =
        run(&["check", "envoy/configuration/edge.yaml", "envoy/configuration/signer.yaml"], "", &[]);
    assert!(
        code == 1 && output.contains("edge.yaml: my-bucket") && output.contains("signer.yaml: my-bucket"),
        "{output}"
    );
}

#[test]
fn an_edge_and_a_signer_that_disagree_are_a_problem_since_nothing_would_be_stored() {
    let signer = fs::read_to_string("envoy/configuration/signer.yaml").unwrap();
    let ended =
        |edge: String, signer: &str| run(&["check", "--with-examples", "-"], &format!("{edge}\n---\n{signer}"), &[]);
    assert_eq!(ended(edge(), &signer).1, "ok\n");
    for (edge, signer, expected) in [
        (
            edge().replace("/my-bucket\"", "/shop\""),
            signer.clone(),
            "$.bucket.path_prefix is \"/shop\", and stdin signs only below \"/my-bucket/\"",
        ),
        (
            edge(),
            signer.replace("eu-west-1", "eu-central-1"),
            "$.bucket.authority is \"s3.eu-west-1.amazonaws.com\", and stdin signs for \"s3.eu-central-1",
        ),
        (
            edge().replace("\"path_prefix\":", "\"if_none_match\": false, \"path_prefix\":"),
            signer.clone(),
            "$.bucket.if_none_match is false, and stdin demands if-none-match of a PUT",
        ),
    ] {
        let (code, output, _) = ended(edge, &signer);
        assert!(code == 1 && output.lines().count() == 1 && output.contains(expected), "{expected}: {output}");
    }
}

#[test]
fn a_kustomization_and_a_chart_are_answered_with_the_command_that_makes_objects_of_them() {
    let kustomize = "kubectl kustomize envoy/kubernetes/base | mirror-on-miss check -";
    for file in ["envoy/kubernetes/base", "envoy/kubernetes/base/kustomization.yaml"] {
        let (code, _, errors) = run(&["check", file], "", &[]);
        assert!(code == 2 && errors.contains(kustomize), "{errors}");
    }
    let (code, _, errors) = check("{{- if .Values.edge }}\nkind: Deployment\n{{- end }}\na: [");
    assert!(code == 2 && errors.contains("helm template DIRECTORY"), "{errors}");
}

/// A deployment as kustomize writes it, with the shipped configuration and this setting.
fn objects(origin: &str) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let script = fs::read_to_string("envoy/configuration/start.sh").unwrap();
    format!(
        "kind: ConfigMap\nmetadata: {{name: settings-1}}\ndata: {{BUCKET: shop, ORIGIN: '{origin}'}}\n---\n\
         kind: ConfigMap\nmetadata: {{name: configuration-1}}\ndata:\n  start.sh: |\n{}  edge.yaml: |\n{}---\n\
         kind: Deployment\nmetadata: {{name: gateway}}\nspec: {{template: {{spec: {{containers: [{{name: edge, \
         command: [/bin/sh, /opt/configuration/start.sh, edge], envFrom: [{{configMapRef: {{name: settings-1}}}}], \
         env: [{{name: AWS_REGION, value: eu-central-1}}]}}]}}}}}}\n",
        indented(&script),
        indented(&edge()),
    )
}

#[test]
fn what_a_container_of_a_cluster_runs_is_what_is_checked_and_explained() {
    let own = objects("https://old.shop.test:8443/files");
    assert_eq!(check(&own), (0, "ok\n".to_owned(), String::new()));
    let (_, output, _) = run(&["explain", "-", "GET", "/a.jpg"], &own, &[]);
    for line in [
        "in           Deployment gateway, container edge",
        "fetch 1      GET /files/a.jpg at old.shop.test:8443, origin origin, cluster origin, $.rules[0], within 20s",
    ] {
        assert!(output.lines().any(|found| found == line), "no {line:?} in:\n{output}");
    }
    let (code, output, _) = check(&objects("ftp://old.shop.test"));
    assert!(
        code == 1 && output.contains("container edge: start.sh: ORIGIN=ftp://old.shop.test is not allowed"),
        "{output}"
    );
    let script = own.replace("start.sh, edge]", "start.sh, edge, '${TMPDIR}', '@HERE@']");
    assert_eq!(check(&script).1, "ok\n", "a script has variables of its own");
    let (code, _, errors) = check(&own.replace("set -eu", "set -e"));
    assert!(code == 0 && errors.contains("has another start.sh"), "{errors}");
}

#[test]
fn what_a_service_of_the_compose_file_runs_is_explained_by_the_variables_that_are_set() {
    let file = "envoy/docker-compose.yaml";
    let variables = [("BUCKET", "shop"), ("ORIGIN", "https://old.shop.test"), ("WIRING", "transparent")];
    let (code, output, errors) = run(&["explain", file, "GET", "/shop/a.jpg"], "", &variables);
    assert!(code == 0 && errors.contains("docker compose"), "{output}{errors}");
    assert!(
        output.contains("GET /a.jpg at old.shop.test") && output.contains("PUT /shop/a.jpg at store:9000"),
        "{output}"
    );
    assert_eq!(run(&["check", file], "", &[]).1, "ok\n");
    let (code, output, errors) = run(&["explain", file, "GET", "/a.jpg"], "", &[("ORIGIN_AUTH", "s3")]);
    assert!(code == 0 && output.contains("GET /a.jpg at origin:8080"), "{output}{errors}");
}
