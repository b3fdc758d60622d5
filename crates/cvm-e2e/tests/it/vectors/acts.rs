//! What each act of a trace is over HTTP.
//!
//! A `connect` is a `confirm`: there is no MQTT yet. The two differ for a retiring certificate only,
//! which connects and is refused by `confirm` as superseded. A `sweep` is the server's own affair:
//! what timers do is also judged at the read.

use std::rc::Rc;

use cvm_e2e::{Key, Response};
use serde_json::{Value, json};

use super::site::Site;
use super::walk::{Held, Outcome, Walker};

const CONFIRM: &str = "/v1/certificates/confirm";
const RENEW: &str = "/v1/certificates/renew";
const VEND: &str = "/v1/certificates";

impl Walker<'_> {
    /// Does what the step says, and binds what it brings to the labels; none where nothing is asked.
    ///
    /// # Errors
    /// What the step needs and an earlier one did not bring.
    pub(super) fn act(&mut self, site: &mut Site, step: &Value) -> Result<Option<Outcome>, String> {
        let act = step["act"].as_str().unwrap();
        let answer = match act {
            "add" => self.add(site, step),
            "vend" => self.vend(site, step),
            "renew" => self.renew(site, step)?,
            "confirm" | "connect" => self.show(site, step, CONFIRM, None)?,
            "new_token" => self.new_token(site, step),
            "revoke" => self.revoke(site, step),
            "disable" | "enable" => {
                site.operate("POST", &self.device(step, &format!(":{act}")), None)
            }
            "delete" => site.operate("DELETE", &self.device(step, ""), None),
            "approve" | "deny" => {
                let review = self.reviews.get(text(step, "serial")).ok_or("no review yet")?;
                site.operate("POST", &format!("/v1/reviews/{review}:{act}"), None)
            }
            "clock" => {
                site.set_clock(text(step, "is"));
                return Ok(None);
            }
            "sweep" => {
                site.counts.sweeps += 1;
                return Ok(None);
            }
            _ => panic!("{act}"),
        };
        let instead = if act == "connect" { self.confirm_for(site, step) } else { None };
        Ok(Some(Outcome { answer, instead }))
    }

    /// What `confirm` has to answer in the place of a connection.
    fn confirm_for(&self, site: &mut Site, step: &Value) -> Option<(u16, &'static str)> {
        if step["expect"]["status"] != 200 {
            site.counts.connects_confirmed += 1;
            return None;
        }
        let label = text(step, "certificate");
        let after = &step["after"];
        let states = [&after["certificates"], &after["SN-2"]["certificates"]];
        if states.iter().any(|states| states[label] == "retiring") {
            site.counts.connects_refused += 1;
            return Some((403, "certificate-superseded"));
        }
        site.counts.connects_confirmed += 1;
        Some((204, ""))
    }

    /// The device that a step is about; none where nobody knows the certificate.
    pub(super) fn serial_of(&self, step: &Value) -> String {
        let of_certificate =
            || Some(&self.certificates.get(step["certificate"].as_str()?)?.serial).cloned();
        step["serial"]
            .as_str()
            .map(|label| self.trace.own(label))
            .or_else(of_certificate)
            .unwrap_or_default()
    }

    fn device(&self, step: &Value, action: &str) -> String {
        format!("/v1/devices/{}{action}", self.trace.own(text(step, "serial")))
    }

    fn token(&self, step: &Value) -> String {
        format!("token-called-{}-of-the-trace", self.trace.own(text(step, "token")))
    }

    fn add(&mut self, site: &mut Site, step: &Value) -> Response {
        let mut body = json!({
            "serialNumber": self.trace.own(text(step, "serial")),
            "token": self.token(step),
            "profile": self.trace.profile(),
        });
        if step["again"] == true {
            body["again"] = json!(true);
        }
        let answer = site.operate("POST", "/v1/devices", Some(&body));
        if answer.status == 201 {
            self.token_given(step);
        }
        answer
    }

    fn new_token(&mut self, site: &mut Site, step: &Value) -> Response {
        let mut body = json!({"token": self.token(step)});
        if step["revoke"] == true {
            body["revoke"] = json!(true);
        }
        let answer = site.operate("POST", &self.device(step, ":new-token"), Some(&body));
        if answer.status == 200 {
            self.token_given(step);
        }
        answer
    }

    fn token_given(&mut self, step: &Value) {
        let given = self.tokens.entry(text(step, "serial").to_owned()).or_default();
        if given.last().is_none_or(|last| last != text(step, "token")) {
            given.push(text(step, "token").to_owned());
        }
    }

    fn revoke(&self, site: &mut Site, step: &Value) -> Response {
        let nobody = "c9".repeat(32);
        let held = self.certificates.get(text(step, "certificate"));
        let id = held.map_or(&nobody, |held| &held.id);
        let body = json!({"reason": step["reason"]});
        site.operate("POST", &format!("/v1/certificates/{id}:revoke"), Some(&body))
    }

    fn vend(&mut self, site: &mut Site, step: &Value) -> Response {
        let serial = self.trace.own(text(step, "serial"));
        let mut body = json!({"serialNumber": serial, "token": self.token(step)});
        let key = self.asked_with(step, &mut body);
        if let Some(algorithm) = step.get("keyAlgorithm") {
            body["keyAlgorithm"] = algorithm.clone();
        }
        let answer = site.ask(VEND, &body);
        self.vended(step, key, answer)
    }

    fn renew(&mut self, site: &mut Site, step: &Value) -> Result<Response, String> {
        let mut body = json!({});
        let key = self.asked_with(step, &mut body);
        let answer = self.show(site, step, RENEW, Some(&body))?;
        Ok(self.vended(step, key, answer))
    }

    /// A request with the step's certificate.
    fn show(
        &self,
        site: &mut Site,
        step: &Value,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, String> {
        let label = text(step, "certificate");
        let held = self.certificates.get(label).ok_or_else(|| format!("no {label} yet"))?;
        let chain = format!("{}{}", held.certificate, held.chain);
        Ok(site.ask_with((&held.id, &chain, &held.key), path, body))
    }

    /// The key that the step asks with, if it brings one, its request being in the body.
    fn asked_with(&mut self, step: &Value, body: &mut Value) -> Option<Rc<Key>> {
        let label = step.get("key")?.as_str().unwrap();
        let made = || Rc::new(Key::new().unwrap());
        let key = Rc::clone(self.keys.entry(label.to_owned()).or_insert_with(made));
        let csr = if step["csr"] == "bad" { key.bad_csr() } else { key.csr() };
        body["csr"] = json!(csr.unwrap());
        Some(key)
    }

    /// Binds the label that the step expects to what a first issue answered.
    fn vended(&mut self, step: &Value, key: Option<Rc<Key>>, answer: Response) -> Response {
        if answer.status == 202 {
            self.reviews.insert(text(step, "serial").to_owned(), answer.text("review"));
        }
        let (id, certificate) = (answer.text("certificateId"), answer.text("certificate"));
        let label = step["expect"]["certificate"].as_str();
        let is_new = self.certificates.values().all(|held| held.id != id);
        if let (Some(label), 201, true) = (label, answer.status, is_new) {
            let private_key = answer.text("privateKey");
            let key = key.unwrap_or_else(|| Rc::new(Key::from_pem(&private_key).unwrap()));
            let (serial, chain) = (self.serial_of(step), answer.text("chain"));
            let held = Held { id, serial, certificate, chain, private_key, key };
            self.certificates.entry(label.to_owned()).or_insert(held);
        }
        answer
    }
}

fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap_or_else(|| panic!("no {key} in {step}"))
}
