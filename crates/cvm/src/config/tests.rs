use super::read::Origin;
use super::*;

fn faults(text: &str) -> Vec<String> {
    match parse(text, std::iter::empty()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    parse(text, variables).unwrap()
}

fn loaded_notes(text: &str) -> usize {
    loaded(text, &[]).notes.len()
}

#[test]
fn an_empty_file_is_the_contracts_defaults() {
    let loaded = loaded("", &[]);
    assert_eq!(loaded.config.http.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(loaded.config.operator_listen.to_string(), "127.0.0.1:8445");
    assert_eq!(loaded.config.metrics_listen.unwrap().to_string(), "127.0.0.1:9464");
    assert!(loaded.config.notify.is_empty());
    assert_eq!(loaded.config.limits.issues_per_serial.to_string(), "10/1h");
    assert_eq!(loaded.config.profiles.default.lifetime.to_string(), "365d");
    assert!(loaded.settings.iter().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn every_fault_is_named_at_once_with_its_place() {
    let faults = faults(
        "[http]\nlisten = \"8443\"\nlissten = \"x\"\n[issuance]\nlifetime = 5\nreissue = \"often\"\n[nonsense]\na = 1\n",
    );
    for wanted in [
        "[http] listen: expected an IP address",
        "[http] lissten: unknown key; [http] has certificate",
        "[issuance] lifetime: expected a text",
        "[issuance] reissue: expected one of always, approval, never, same-key, until-confirmed",
        "[nonsense] a: there is no such section",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(wanted)), "{wanted}: {faults:#?}");
    }
    assert_eq!(faults.len(), 5);
}

#[test]
fn what_is_not_toml_is_told_by_its_line() {
    assert!(faults("[http]\nlisten = \n")[0].starts_with("line 2"));
}

#[test]
fn variables_override_the_file_in_tomls_syntax_or_as_a_bare_word() {
    let loaded = loaded(
        "[log]\nlevel = \"warn\"\n[http]\nhostnames = [\"a\"]\n",
        &[
            ("CVM_LOG__LEVEL", "debug"),
            ("CVM_HTTP__HOSTNAMES", "[\"b.example\", \"10.0.0.1\"]"),
            ("CVM_ISSUANCE__SERVER_KEYS", "true"),
            ("CVM_TOKEN", "not a setting"),
        ],
    );
    assert_eq!(loaded.config.log.level.to_string(), "debug");
    assert_eq!(loaded.config.http.hostnames[1].0, "10.0.0.1");
    assert!(loaded.config.profiles.default.server_keys);
    let of = |key: &str| loaded.settings.iter().find(|s| s.key == key).unwrap().origin.to_string();
    assert_eq!(of("level"), "$CVM_LOG__LEVEL");
    assert_eq!(of("hostnames"), "$CVM_HTTP__HOSTNAMES");
}

#[test]
fn a_variable_that_names_no_key_is_a_fault() {
    let variables = [(String::from("CVM_LOG__LEVLE"), String::from("debug"))];
    let faults = parse("", variables.into_iter()).unwrap_err();
    assert_eq!(faults[0].place, "$CVM_LOG__LEVLE");
}

#[test]
fn a_profile_has_what_it_says_and_the_rest_of_issuance() {
    let loaded = loaded(
        "[issuance]\nlifetime = \"30d\"\nbackdate = \"1m\"\n[[profile]]\nname = \"line-2\"\nlifetime = \"1h\"\n",
        &[],
    );
    let line = loaded.config.profiles.find(&"line-2".parse().unwrap()).unwrap();
    assert_eq!(line.lifetime.to_string(), "1h");
    assert_eq!(line.backdate.to_string(), "1m");
    assert_eq!(loaded.config.profiles.find(&"line-3".parse().unwrap()), None);
}

#[test]
fn a_rehearsal_has_a_profile_of_its_own_with_one_hour_and_the_rule_that_burns_tokens() {
    let profile = |text: &str| {
        let loaded = loaded(text, &[]);
        loaded.config.profiles.find(&"rehearse".parse().unwrap()).unwrap().clone()
    };
    assert_eq!(profile("").lifetime.to_string(), "1h");
    let inherited =
        profile("[issuance]\nlifetime = \"30d\"\nreissue = \"always\"\nbackdate = \"1m\"\n");
    assert_eq!(inherited.lifetime.to_string(), "1h");
    assert_eq!(inherited.backdate.to_string(), "1m");
    assert!(inherited.reissue.confirmation_burns());
    let own = profile("[[profile]]\nname = \"rehearse\"\nlifetime = \"2h\"\n");
    assert_eq!(own.lifetime.to_string(), "2h");
}

#[test]
fn profiles_are_checked_like_the_rest() {
    let faults = faults(
        "[[profile]]\nlifetime = \"1h\"\n[[profile]]\nname = \"a\"\nx = 1\n[[profile]]\nname = \"a\"\n",
    );
    assert_eq!(faults.len(), 3, "{faults:#?}");
}

#[test]
fn what_serve_could_not_use_is_a_fault_already_here() {
    let faults = faults(
        "[store]\nurl = \"postgres://u:secret@h/d\"\n[http]\nhostnames = [\"1.2.3\", \"[::1]\"]\n",
    );
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(!faults.concat().contains("secret"), "{faults:#?}");
}

#[test]
fn a_profiles_value_comes_from_where_issuance_has_it() {
    let loaded = loaded("[issuance]\nlifetime = \"30d\"\n[[profile]]\nname = \"a\"\n", &[]);
    let of = |key: &str| {
        let found = loaded.settings.iter().find(|it| it.section == "profile.a" && it.key == key);
        found.unwrap().origin.to_string()
    };
    assert_eq!((of("lifetime"), of("backdate")), ("file".into(), "default".into()));
}

#[test]
fn keys_of_later_versions_are_noted_and_have_no_effect() {
    let loaded = loaded("[mqtt]\nlisten = \"127.0.0.1:8883\"\n[journal]\nmirror = \"m\"\n", &[]);
    assert_eq!(loaded.notes.len(), 2);
    assert_eq!(loaded_notes("[[verifier]]\nname = \"v\"\n"), 1);
}

#[test]
fn a_public_url_is_normalised_as_devices_sign_it() {
    let check = |url: &str, expected: &str| {
        let loaded = loaded(&format!("[http]\npublic_url = \"{url}\"\n"), &[]);
        assert_eq!(loaded.config.http.public_url.as_deref(), Some(expected));
    };
    check("https://CVM.example:443/", "https://cvm.example");
    check("https://cvm.example:8443", "https://cvm.example:8443");
    check("https://[2001:DB8::1]:443", "https://[2001:db8::1]");
    check("http://cvm.example:80", "http://cvm.example");
    check("https://cvm.example:4430", "https://cvm.example:4430");
}

#[test]
fn proxies_are_named_by_their_networks_and_never_all() {
    let list = "[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n";
    assert_eq!(loaded(list, &[]).config.http.trusted_proxies.len(), 2);
    for all in ["0.0.0.0/0", "::/0"] {
        let list = format!("[http]\ntrusted_proxies = [\"{all}\"]\n");
        assert!(faults(&list)[0].contains("name the proxies' own networks"));
    }
    assert!(faults("[http]\ntrusted_proxies = [\"proxy\"]\n")[0].contains("expected a network"));
}

#[test]
fn metrics_are_off_where_they_listen_nowhere() {
    assert_eq!(loaded("[metrics]\nlisten = \"\"\n", &[]).config.metrics_listen, None);
    let off = loaded("", &[("CVM_METRICS__LISTEN", "")]);
    assert_eq!(off.config.metrics_listen, None);
    assert!(faults("[metrics]\nlisten = \"9464\"\n")[0].contains("or \"\" for off"));
}

#[test]
fn nothing_is_served_without_tls_unless_it_is_told_where() {
    assert_eq!(loaded("", &[]).config.http.plain_listen, None);
    let on = loaded("[http]\nplain_listen = \"[::]:8080\"\n", &[]).config.http;
    assert_eq!(on.plain_listen.unwrap().to_string(), "[::]:8080");
    assert!(faults("[http]\nplain_listen = \"yes\"\n")[0].contains("or \"\" for off"));
}

#[test]
fn two_listeners_have_two_addresses() {
    for section in ["operator", "metrics"] {
        let faults = faults(&format!("[{section}]\nlisten = \"127.0.0.1:8443\"\n"));
        assert!(
            faults[0].starts_with(&format!("[{section}] listen: [http] listen has")),
            "{faults:?}"
        );
    }
    assert_eq!(faults("[metrics]\nlisten = \"127.0.0.1:8445\"\n").len(), 1);
    let plain = "[http]\nplain_listen = \"127.0.0.1:8445\"\n";
    assert!(faults(plain)[0].starts_with("[operator] listen: [http] plain_listen has"));
    let any = "[http]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n";
    assert_eq!(faults(any), [""; 0], "port 0 is any port that is free");
}

#[test]
fn each_notify_has_its_url_its_secret_and_its_roots() {
    let text = "[[notify]]\nurl = \"https://a.example/x?y\"\n[[notify]]\nurl = \"https://[::1]:1\"\nsecret_file = \"s\"\nroot_ca = \"r\"\n";
    let notify = loaded(text, &[]).config.notify;
    let of = |it: &Notify| (it.name.clone(), it.secret_file.clone(), it.root_ca.clone());
    assert_eq!(of(&notify[0]), ("notify.1".into(), "notify-secret".into(), None));
    assert_eq!(of(&notify[1]), ("notify.2".into(), "s".into(), Some("r".into())));
    assert_eq!((notify[0].url.receiver(), notify[0].url.is_loopback()), ("a.example", false));
    assert!(notify[1].url.is_loopback() && notify[1].url.is_https());
}

#[test]
fn a_notify_that_could_not_be_sent_is_a_fault_that_does_not_tell_the_url() {
    let cases = [
        ("", "[notify.1] url: expected a URL"),
        ("url = \"hunter2\"", "[notify.1] url: expected a URL"),
        ("url = \"ftp://hunter2\"", "[notify.1] url: expected a URL"),
        ("url = \"https://h:99999/hunter2\"", "[notify.1] url: expected a URL"),
        ("url = \"https://not a host/hunter2\"", "[notify.1] url: expected a URL"),
        ("url = \"https://me:hunter2@h/\"", "[notify.1] url: no name or password"),
        ("url = \"https://h\"\nsecret = \"x\"", "[notify.1] secret: unknown key"),
        ("url = \"https://h\"\nsecret_file = \"\"", "[notify.1] secret_file: a file"),
        ("url = \"http://h\"\nroot_ca = \"r\"", "[notify.1] root_ca: it is for https"),
    ];
    for (text, wanted) in cases {
        let faults = faults(&format!("[[notify]]\n{text}\n"));
        assert!(faults.len() == 1 && faults[0].starts_with(wanted), "{text}: {faults:?}");
        assert!(!faults[0].contains("hunter2"), "{faults:?}");
    }
    assert_eq!(faults("notify = [\"https://h\"]\n").len(), 1);
    assert_eq!(faults("[notify]\nurl = \"https://h\"\n").len(), 1);
    assert_eq!(faults(&"[[notify]]\nurl = \"https://h\"\n".repeat(16)), [""; 0]);
    assert_eq!(faults(&"[[notify]]\nurl = \"https://h\"\n".repeat(17)).len(), 1);
}

#[test]
fn what_is_printed_of_a_webhooks_url_is_its_host() {
    let notify =
        loaded("[[notify]]\nurl = \"https://h.example/secret?secret\"\n", &[]).config.notify;
    assert!(!format!("{notify:?}").contains("/secret"), "{notify:?}");
    assert_eq!(notify[0].url.to_string(), "https://h.example/redacted");
}

#[cfg(not(feature = "aws"))]
#[test]
fn what_is_on_aws_takes_a_build_that_has_it() {
    let texts = [
        "[store]\nurl = \"dynamodb://cvm\"\n",
        "[vault]\nurl = \"s3://my-bucket/cvm\"\n",
        "[platform]\nkind = \"aws-iot-core\"\nissuer = \"own-ca\"\nregion = \"eu-central-1\"\n",
    ];
    for text in texts {
        let faults = faults(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("this cvm was built without --features aws"), "{faults:?}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn a_home_on_aws_is_named_by_its_urls() {
    let text = "[store]\nurl = \"dynamodb://cvm?region=eu-central-1\"\n[vault]\nurl = \"s3://my-bucket/p\"\n[platform]\nkind = \"aws-iot-core\"\nissuer = \"own-ca\"\nendpoint = \"http://127.0.0.1:1\"\n[mqtt]\npublic_endpoint = \"abc-ats.iot.eu-central-1.amazonaws.com:8883\"\n[lambda]\nroutes = \"operator\"\n";
    let loaded = loaded(text, &[]);
    assert_eq!(loaded.notes, [""; 0]);
    let config = loaded.config;
    assert_eq!((config.sqlite_url(), config.routes), (None, Routes::Operator));
    let PlatformPlace::AwsIotCore(core) = config.platform else { panic!("{:?}", config.platform) };
    assert_eq!(core.issuer, IssuerKind::OwnCa);
    assert_eq!(core.place.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(core.place.region, None);
    assert!(core.public_endpoint.is_some());
}

#[test]
fn what_belongs_to_another_platform_is_noted() {
    let loaded = loaded("[platform]\nissuer = \"own-ca\"\nregion = \"local-1\"\n", &[]);
    let wanted = "[platform] issuer has no effect with kind = \"embedded\"";
    assert_eq!(loaded.notes.len(), 2);
    assert!(loaded.notes.iter().any(|note| note == wanted), "{:?}", loaded.notes);
}

#[test]
fn a_public_url_may_be_that_of_a_stage() {
    let url = |text: &str| loaded(&format!("[http]\npublic_url = {text:?}\n"), &[]).config.http;
    assert_eq!(url("https://a.example/prod/").public_url.unwrap(), "https://a.example/prod");
    for bad in ["https://", "https:///x", "https://a?x", "https://u@a", "a.example"] {
        assert_eq!(faults(&format!("[http]\npublic_url = {bad:?}\n")).len(), 1, "{bad}");
    }
}
