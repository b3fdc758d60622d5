//! `/v1/devices`: registering, listing and showing devices.

use cvm_core::certificate::CertificateState;
use cvm_core::device::{Device, DeviceFilter, Fate, Place, Road};
use cvm_core::id::SerialNumber;
use cvm_core::operator::Permission;
use cvm_core::provisioning::{self, DeviceShown, GiveToken, NewToken, ThingFate, Whom};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_wire::SecretText;
use cvm_wire::operator::{
    CertificateBrief, Device as WireDevice, NewDevice, NewToken as WireNewToken,
};
use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use super::{parsed, query};
use crate::answer::Answer;
use crate::api::{Api, Call};
use crate::json;
use crate::problem::Refused;

/// As Stripe and the IETF draft `idempotency-key-header` have it in practice.
const IDEMPOTENCY_KEY_CHARACTERS_MAX: usize = 255;

/// `POST /v1/devices`.
pub(crate) async fn register(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let key = idempotency_key(&call.fields)?;
    let new = new_device(json::parse(&call.body)?, key.as_deref())?;
    let registered = api.provisioning().device_register(new, &operator.id).await?;
    let status = if registered.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut wire = wire_device(&registered.device, live_briefs(&registered.device));
    wire.token = shown_once(registered.token);
    Answer::json(status, &wire)
}

/// `GET /v1/devices?state=|expiring=`.
pub(crate) async fn list(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let ports = api.provisioning().ports();
    let names = ["limit", "cursor", "state", "expiring"];
    let [limit, cursor, state, expiring] = query::parameters(call.query.as_deref(), names)?;
    let request = query::page_of(limit, cursor)?;
    let now = ports.clock.read().now;
    let page = match filter(state, expiring, now)? {
        None => ports.catalogue.device_page(&request).await?,
        Some(filter) => {
            let after = request.after.as_deref().map(str::parse::<Place>).transpose();
            after.map_err(|_| query::wrong_cursor())?;
            ports.catalogue.device_page_where(filter, &request).await?
        }
    };
    super::list(page, |mut device| {
        let _ended = device.settle(now);
        wire_device(&device, live_briefs(&device))
    })
}

fn filter(
    state: Option<String>,
    expiring: Option<String>,
    now: Timestamp,
) -> Result<Option<DeviceFilter>, Refused> {
    match (state, expiring) {
        (None, None) => Ok(None),
        (Some(state), None) => parsed("state", &state).map(Some),
        (None, Some(span)) => {
            let until = now.plus(parsed::<Span>("expiring", &span)?);
            Ok(Some(DeviceFilter::Expiring { from: now, until }))
        }
        (Some(_), Some(_)) => Err(Refused::invalid("one filter at a time: `state` or `expiring`")),
    }
}

/// `GET /v1/devices/{serialNumber}`.
pub(crate) async fn show(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let shown = api.provisioning().device_show(&serial_of(call)?).await?;
    let DeviceShown { device, certificates } = shown.ok_or_else(unknown)?;
    let briefs = certificates.iter().map(|shown| CertificateBrief {
        certificate_id: shown.record.id.to_string(),
        state: shown.state.as_str().to_owned(),
    });
    Answer::json(StatusCode::OK, &wire_device(&device, briefs.collect()))
}

/// `POST /v1/devices/{serialNumber}:disable`.
pub(crate) async fn disable(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let serial = serial_of(call)?;
    api.provisioning().device_disable(&serial, &operator.id).await?;
    show(api, call).await
}

/// `POST /v1/devices/{serialNumber}:enable`.
pub(crate) async fn enable(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let serial = serial_of(call)?;
    api.provisioning().device_enable(&serial, &operator.id).await?;
    show(api, call).await
}

/// `DELETE /v1/devices/{serialNumber}?keepThing=`.
pub(crate) async fn delete(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let serial = serial_of(call)?;
    let [keep] = query::parameters(call.query.as_deref(), ["keepThing"])?;
    let thing = match keep.as_deref() {
        None | Some("false") => ThingFate::Remove,
        Some("true") => ThingFate::Keep,
        Some(_) => return Err(Refused::invalid("keepThing is true or false")),
    };
    api.provisioning().device_delete(&serial, thing, &operator.id).await?;
    show(api, call).await
}

/// `POST /v1/devices/{serialNumber}:new-token`.
pub(crate) async fn new_token(api: &Api, call: &Call) -> Result<Answer, Refused> {
    let operator = call.principal.operator()?;
    let serial = serial_of(call)?;
    let WireNewToken { token, token_expires, revoke } = json::parse_or_default(&call.body)?;
    let give = GiveToken {
        token: source_of(token, idempotency_key(&call.fields)?.as_deref())?,
        expires: token_expires.map(|text| parsed("tokenExpires", &text)).transpose()?,
        fate: if revoke { Fate::Revoke } else { Fate::Keep },
        whom: if operator.role.may(Permission::TokenRenew) { Whom::Any } else { Whom::Unissued },
    };
    let given = api.provisioning().device_new_token(&serial, give, &operator.id).await?;
    let mut wire = wire_device(&given.device, live_briefs(&given.device));
    wire.token = shown_once(given.token);
    Answer::json(StatusCode::OK, &wire)
}

pub(super) fn shown_once(token: Option<Token>) -> Option<SecretText> {
    token.map(|token| SecretText::new(Zeroizing::new(token.expose().to_owned())))
}

fn unknown() -> Refused {
    Refused::not_found("there is no device with this serial number")
}

fn serial_of(call: &Call) -> Result<SerialNumber, Refused> {
    call.variable.parse().map_err(|_| unknown())
}

/// The registration that a body asks for; where it brings no token and there is a `key`, its token
/// is derived from that.
pub(super) fn new_device(
    wire: NewDevice,
    key: Option<&str>,
) -> Result<provisioning::NewDevice, Refused> {
    let NewDevice {
        serial_number,
        token,
        token_expires,
        thing_name,
        policy,
        profile,
        attributes,
        roads,
        again,
    } = wire;
    if roads.is_some_and(|roads| roads != ["vend"]) {
        return Err(Refused::invalid("roads: this version has [\"vend\"] only"));
    }
    Ok(provisioning::NewDevice {
        serial_number: parsed("serialNumber", &serial_number)?,
        token: source_of(token, key)?,
        token_expires: token_expires.map(|text| parsed("tokenExpires", &text)).transpose()?,
        thing_name: thing_name.map(|text| parsed("thingName", &text)).transpose()?,
        policy: policy.map(|text| parsed("policy", &text)).transpose()?,
        profile: profile.map(|text| parsed("profile", &text)).transpose()?,
        attributes,
        again,
    })
}

fn source_of(brought: Option<SecretText>, key: Option<&str>) -> Result<NewToken, Refused> {
    match (brought, key) {
        (Some(token), _) => Token::brought(token.into_inner())
            .map(NewToken::Brought)
            .map_err(|error| Refused::invalid(format!("token: {error}"))),
        (None, Some(key)) => Ok(NewToken::Derived(key.to_owned())),
        (None, None) => Ok(NewToken::Random),
    }
}

pub(super) fn idempotency_key(fields: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut values = fields.get_all("idempotency-key").iter();
    let key = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    key.filter(|key| (1..=IDEMPOTENCY_KEY_CHARACTERS_MAX).contains(&key.len()))
        .map(|key| Some(key.to_owned()))
        .ok_or_else(|| {
            let most = IDEMPOTENCY_KEY_CHARACTERS_MAX;
            Refused::invalid(format!("Idempotency-Key is one key of 1 to {most} characters"))
        })
}

fn live_briefs(device: &Device) -> Vec<CertificateBrief> {
    // What the platform has not named yet has nothing to be asked for by.
    let mut live: Vec<_> = device.live.iter().filter(|live| !live.id.is_provisional()).collect();
    live.sort_by_key(|live| live.issued_at);
    let brief = |id: &cvm_core::id::CertificateId, state: CertificateState| CertificateBrief {
        certificate_id: id.to_string(),
        state: state.as_str().to_owned(),
    };
    live.into_iter().map(|live| brief(&live.id, live.state)).collect()
}

fn wire_device(device: &Device, certificates: Vec<CertificateBrief>) -> WireDevice {
    let token = device.newest_token();
    WireDevice {
        serial_number: device.serial_number.to_string(),
        thing_name: device.thing_name.to_string(),
        policy: device.policy.to_string(),
        profile: device.profile.to_string(),
        attributes: device.attributes.clone(),
        roads: device.roads.iter().map(|road| road_name(*road).to_owned()).collect(),
        state: device.state().as_str().to_owned(),
        disabled: device.disabled,
        token_state: token.map_or("", |token| token.state.as_str()).to_owned(),
        token_expires: token.map_or_else(String::new, |token| token.expires.to_string()),
        certificates,
        created_at: device.created_at.to_string(),
        version: device.version,
        token: None,
    }
}

fn road_name(road: Road) -> &'static str {
    match road {
        Road::Vend => "vend",
    }
}

#[cfg(test)]
mod tests;
