use super::*;

const REST: &str = include_str!("../../tests/events/rest.json");
const HTTP: &str = include_str!("../../tests/events/http.json");
const FUNCTION_URL: &str = include_str!("../../tests/events/function-url.json");
const SCHEDULE: &str = include_str!("../../tests/events/schedule.json");

fn call(json: &str, base: &str) -> Call {
    match Event::read(json, base).unwrap() {
        Event::Request(call) => *call,
        Event::Minute => panic!("a request is no minute"),
    }
}

#[test]
fn a_rest_api_says_path_query_fields_body_and_address() {
    let call = call(REST, "/prod");
    assert_eq!(call.form, Form::Rest);
    assert_eq!(call.request.method(), "POST");
    assert_eq!(call.request.uri(), "/v1/certificates?cursor=2&cursor=a+b");
    assert_eq!(call.request.headers()["content-type"], "application/json");
    assert_eq!(call.request.headers().get_all("accept").iter().count(), 2);
    assert_eq!(&call.request.body()[..], br#"{"serialNumber":"SN-1","token":"t"}"#);
    assert_eq!(call.peer.address.to_string(), "192.0.2.1", "not what X-Forwarded-For says");
    assert_eq!(call.peer.certificate, None);
}

#[test]
fn an_http_api_has_its_stage_in_the_path() {
    let call = call(HTTP, "");
    assert_eq!(call.form, Form::Http);
    assert_eq!(call.request.uri(), "/v1/devices?limit=2&cursor=a%2Fb");
    assert_eq!(call.peer.address.to_string(), "2001:db8::7");
}

#[test]
fn a_function_url_has_no_stage_and_may_send_base64() {
    let call = call(FUNCTION_URL, "");
    assert_eq!(call.form, Form::Http);
    assert_eq!(call.request.uri(), "/v1/certificates");
    assert_eq!(&call.request.body()[..], br#"{"serialNumber":"SN-1","token":"t"}"#);
}

#[test]
fn what_eventbridge_says_once_a_minute_is_a_minute() {
    assert!(matches!(Event::read(SCHEDULE, "").unwrap(), Event::Minute));
}

#[test]
fn a_request_cannot_pass_for_a_minute() {
    let forged =
        HTTP.replacen('{', r#"{"detail-type": "Scheduled Event", "source": "aws.events","#, 1);
    assert!(matches!(Event::read(&forged, "").unwrap(), Event::Request(_)));
}

#[test]
fn what_is_none_of_these_is_refused_without_repeating_it() {
    for json in
        ["{}", "[]", "null", "hunter2", r#"{"version":"2.0","requestContext":{},"body":"hunter2"}"#]
    {
        let refused = Event::read(json, "").unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn a_custom_domains_path_is_taken_away_at_its_border_only() {
    for (path, base, wanted) in [
        ("/cvm/v1/nonce", "/cvm", "/v1/nonce"),
        ("/cvm", "/cvm", "/"),
        ("/cvmx/v1", "/cvm", "/cvmx/v1"),
        ("/v1/nonce", "/cvm", "/v1/nonce"),
        ("/v1/nonce", "", "/v1/nonce"),
    ] {
        assert_eq!(below(path, base), wanted, "{path}");
    }
}

#[test]
fn a_path_that_a_gateway_decoded_is_a_path_again() {
    assert_eq!(encoded("/v1/devices/a b\u{e9}%2F:?#"), "/v1/devices/a%20b%C3%A9%2F:%3F%23");
    let odd = HTTP.replace("/prod/v1/devices", "/prod/v1/\\u0000 \\\"<>\u{e9}");
    assert_eq!(call(&odd, "").request.uri().path(), "/v1/%00%20%22%3C%3E%C3%A9");
}
