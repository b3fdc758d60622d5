//! Things and policies, and what certificates are bound to.

use async_trait::async_trait;
use aws_sdk_iot::types::AttributePayload;
use cvm_core::id::{CertificateId, Name, ThingName};
use cvm_core::ports::{IotBindings, IotError};

use super::IotCalls;
use super::failure::{of, unless_absent};

/// The attribute by which the reference application marks its things, and we ours.
const MARK: (&str, &str) = ("RegistrationWay", "CVM");

#[async_trait]
impl IotBindings for IotCalls {
    async fn thing_create(&self, thing: &ThingName) -> Result<(), IotError> {
        let (name, value) = MARK;
        let marked = AttributePayload::builder().attributes(name, value).build();
        let call = self.control.create_thing().thing_name(thing.as_str());
        let created = call.attribute_payload(marked).send().await;
        match created.map_err(|error| of("CreateThing", "thing", error)) {
            Ok(_) => Ok(()),
            Err(IotError::Conflict(_)) => self.require_ours(thing).await,
            Err(error) => Err(error),
        }
    }

    async fn thing_delete(
        &self,
        thing: &ThingName,
        detach: &[CertificateId],
    ) -> Result<(), IotError> {
        let attached = match self.attached(thing).await {
            Err(IotError::NotFound(_)) => return Ok(()),
            attached => attached?,
        };
        for arn in attached {
            let id = arn.rsplit('/').next().and_then(|id| id.parse::<CertificateId>().ok());
            if id.is_none_or(|id| !detach.contains(&id)) {
                let what = format!("the thing {thing} has a certificate that is none of CVM's");
                return Err(IotError::Conflict(what));
            }
            let call = self.control.detach_thing_principal().thing_name(thing.as_str());
            let detached = call.principal(arn).send().await;
            unless_absent(detached.map_err(|error| of("DetachThingPrincipal", "thing", error)))?;
        }
        self.shadow_delete(thing).await?;
        let deleted = self.control.delete_thing().thing_name(thing.as_str()).send().await;
        match deleted.map_err(|error| of("DeleteThing", "thing", error)) {
            Ok(_) | Err(IotError::NotFound(_)) => Ok(()),
            // What was detached may be so a few seconds later only.
            Err(IotError::Refused(what) | IotError::Conflict(what)) => Err(IotError::NotNow(what)),
            Err(error) => Err(error),
        }
    }

    async fn thing_attach(&self, thing: &ThingName, id: &CertificateId) -> Result<(), IotError> {
        let call = self.control.attach_thing_principal().thing_name(thing.as_str());
        let attached = call.principal(self.arn(id).await?).send().await;
        attached.map(drop).map_err(|error| of("AttachThingPrincipal", "thing", error))
    }

    async fn policy_attach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        let call = self.control.attach_policy().policy_name(policy.as_str());
        let attached = call.target(self.arn(id).await?).send().await;
        attached.map(drop).map_err(|error| of("AttachPolicy", "policy", error))
    }

    async fn policy_detach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError> {
        let call = self.control.detach_policy().policy_name(policy.as_str());
        let detached = call.target(self.arn(id).await?).send().await;
        unless_absent(detached.map_err(|error| of("DetachPolicy", "policy", error)))
    }

    async fn policy_create(&self, policy: &Name, document: &str) -> Result<(), IotError> {
        let call = self.control.create_policy().policy_name(policy.as_str());
        let created = call.policy_document(document).send().await;
        match created.map_err(|error| of("CreatePolicy", "policy", error)) {
            Ok(_) | Err(IotError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn policy_exists(&self, policy: &Name) -> Result<bool, IotError> {
        // What AWS could not have as a name is no policy of it, and need not be asked for.
        if policy.as_str().contains(':') {
            return Ok(false);
        }
        let asked = self.control.get_policy().policy_name(policy.as_str()).send().await;
        match asked.map_err(|error| of("GetPolicy", "policy", error)) {
            Ok(_) => Ok(true),
            Err(IotError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn connection_delete(&self, thing: &ThingName) -> Result<(), IotError> {
        let data = self.data().await?;
        let deleted = data.delete_connection().client_id(thing.as_str()).send().await;
        unless_absent(deleted.map_err(|error| of("DeleteConnection", "connection", error)))
    }
}

impl IotCalls {
    /// Whether a thing that is there already is one of ours.
    async fn require_ours(&self, thing: &ThingName) -> Result<(), IotError> {
        let (name, value) = MARK;
        let told = self.control.describe_thing().thing_name(thing.as_str()).send().await;
        let told = told.map_err(|error| of("DescribeThing", "thing", error))?;
        let marked = told.attributes().and_then(|attributes| attributes.get(name));
        if marked.is_some_and(|marked| marked == value) {
            return Ok(());
        }
        let what = format!(
            "there is a thing {thing} that CVM did not make: remove it, or give it the attribute \
             {name}={value} to have CVM take it over"
        );
        Err(IotError::Conflict(what))
    }

    /// The ARNs of what is attached to a thing.
    async fn attached(&self, thing: &ThingName) -> Result<Vec<String>, IotError> {
        let (mut attached, mut token) = (Vec::new(), None);
        loop {
            let call = self.control.list_thing_principals().thing_name(thing.as_str());
            let told = call.set_next_token(token).send().await;
            let told = told.map_err(|error| of("ListThingPrincipals", "thing", error))?;
            attached.extend_from_slice(told.principals());
            token = told.next_token;
            if token.is_none() {
                return Ok(attached);
            }
        }
    }

    async fn shadow_delete(&self, thing: &ThingName) -> Result<(), IotError> {
        let data = self.data().await?;
        let deleted = data.delete_thing_shadow().thing_name(thing.as_str()).send().await;
        unless_absent(deleted.map_err(|error| of("DeleteThingShadow", "shadow", error)))
    }
}
