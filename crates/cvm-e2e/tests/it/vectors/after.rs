//! What the operator API shows after a step, against the step's `after`: at once, since what a timer
//! or a follow-up does is also judged at the read.

use serde_json::{Map, Value, json};

use super::site::Site;
use super::walk::Walker;

impl Walker<'_> {
    /// Compares what is shown with what has to be. The API has the newest token's state only.
    pub(super) fn compare_after(&self, site: &mut Site, after: &Value) -> Result<(), String> {
        for serial in ["SN-1", "SN-2"] {
            let expected = if serial == "SN-1" { Some(after) } else { after.get(serial) };
            if let Some(expected) = expected {
                self.compare_shown(site, serial, expected)?;
            }
        }
        Ok(())
    }

    fn compare_shown(&self, site: &mut Site, serial: &str, after: &Value) -> Result<(), String> {
        let newest = self.tokens.get(serial).and_then(|tokens| tokens.last());
        let expected = json!({
            "device": after["device"],
            "disabled": after["disabled"],
            "token": newest.map(|newest| &after["tokens"][newest]),
            "certificates": after["certificates"],
        });
        let shown = self.shown(site, serial)?;
        if shown != expected {
            return Err(format!("{serial}: expected {expected}, shown {shown}"));
        }
        Ok(())
    }

    /// The device by its own resource, and each of its certificates by its own too.
    fn shown(&self, site: &mut Site, serial: &str) -> Result<Value, String> {
        let path = format!("/v1/devices/{}", self.trace.own(serial));
        let answer = site.operate("GET", &path, None);
        if (answer.status, answer.slug().as_str()) == (404, "not-found") {
            return Ok(json!(
                {"device": null, "disabled": false, "token": null, "certificates": {}}
            ));
        }
        let device = answer.json().unwrap();
        let mut certificates = Map::new();
        for brief in device["certificates"].as_array().into_iter().flatten() {
            let id = brief["certificateId"].as_str().unwrap_or_default();
            let known = self.certificates.iter().find(|(_, held)| held.id == id);
            let (label, held) = known.ok_or_else(|| format!("nobody was answered {id}"))?;
            let path = format!("/v1/certificates/{id}");
            let alone = site.operate("GET", &path, None).json().unwrap();
            if alone["state"] != brief["state"] || alone["certificate"] != held.certificate {
                return Err(format!("{label} is not the same in {device} and {alone}"));
            }
            certificates.insert(label.clone(), brief["state"].clone());
        }
        Ok(json!({
            "device": device["state"],
            "disabled": device["disabled"],
            "token": device["tokenState"],
            "certificates": certificates,
        }))
    }
}
