//! Answers in the form that whoever called the function reads.

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use bytes::Bytes;
use http::Response;
use serde_json::Value;

use crate::event::Form;

/// The answer as the gateway takes it. What is not text goes in base64.
pub(crate) fn written(form: Form, answer: Response<Bytes>) -> serde_json::Result<Value> {
    let (parts, body) = answer.into_parts();
    let (body, is_base64_encoded) = match String::from_utf8(body.into()) {
        Ok(text) => (Body::Text(text), false),
        Err(binary) => (Body::Binary(binary.into_bytes()), true),
    };
    let status_code = i64::from(parts.status.as_u16());
    match form {
        Form::Rest => {
            let mut answer = ApiGatewayProxyResponse::default();
            answer.status_code = status_code;
            answer.multi_value_headers = parts.headers;
            answer.body = Some(body);
            answer.is_base64_encoded = is_base64_encoded;
            serde_json::to_value(answer)
        }
        Form::Http => {
            let mut answer = ApiGatewayV2httpResponse::default();
            answer.status_code = status_code;
            answer.headers = parts.headers;
            answer.body = Some(body);
            answer.is_base64_encoded = is_base64_encoded;
            serde_json::to_value(answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(form: Form, body: &'static [u8]) -> Value {
        let answer = Response::builder().status(409).header("retry-after", "2");
        written(form, answer.body(Bytes::from_static(body)).unwrap()).unwrap()
    }

    #[test]
    fn text_goes_as_it_is_and_der_in_base64() {
        for form in [Form::Rest, Form::Http] {
            let text = answered(form, b"{\"status\": 409}");
            assert_eq!(text["statusCode"], 409);
            assert_eq!(text["body"], "{\"status\": 409}");
            assert_eq!(text["isBase64Encoded"], false);
            let der = answered(form, &[0x30, 0x82, 0xFF]);
            assert_eq!(der["body"], "MIL/");
            assert_eq!(der["isBase64Encoded"], true);
        }
    }

    #[test]
    fn fields_go_where_each_form_has_them() {
        let rest = answered(Form::Rest, b"");
        assert_eq!(rest["multiValueHeaders"]["retry-after"][0], "2");
        assert_eq!(answered(Form::Http, b"")["headers"]["retry-after"], "2");
    }
}
