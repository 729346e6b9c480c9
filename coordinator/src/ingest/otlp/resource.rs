//! What a resource and a scope give to all of their series.

use m3rs_core::Corrupt;
use m3rs_core::wire::proto::Fields;
use m3rs_core::wire::put_length_prefixed;

use crate::ingest::labels::LabelRefusal;
use crate::ingest::otlp::Otlp;
use crate::ingest::otlp::attributes::{AttributeError, key_value, text_of};
use crate::ingest::otlp::names::label_name;
use crate::ingest::otlp::series::Pairs;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Attributes that `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// What stands before the names of a scope's labels.
const SCOPE_PREFIX: &str = "otel_scope_";

/// Why nothing of a resource or scope can be written.
#[derive(Debug)]
pub(super) enum ContextError {
    /// It is no such message.
    Malformed(Corrupt),
    /// One of its attributes cannot be a label.
    Refused(LabelRefusal),
}

impl From<Corrupt> for ContextError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Malformed(corrupt)
    }
}

impl From<AttributeError> for ContextError {
    fn from(error: AttributeError) -> Self {
        Self::Refused(LabelRefusal::Attribute(error.to_string()))
    }
}

struct Attribute<'a> {
    key: &'a str,
    value: &'a [u8],
    message: &'a [u8],
}

/// A `Resource`, as far as series depend on it.
#[derive(Default)]
pub(super) struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
    /// Promoted attributes: labels of series that have none of that name.
    pub(super) weak: Pairs,
    /// `job` and `instance`: labels of all its series.
    pub(super) strong: Pairs,
    is_identified: bool,
}

impl<'a> Resource<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// Every kind of [`ContextError`].
    pub(super) fn of(message: &'a [u8], otlp: &Otlp) -> Result<Self, ContextError> {
        let mut resource = Self { attributes: attributes(message)?, ..Self::default() };
        let depth_max = otlp.limits.attribute_depth_max;
        let text = |key| match resource.get(key) {
            Some(value) => text_of(value, depth_max).map(Some),
            None => Ok(None),
        };
        let job = match (text(SERVICE_NAMESPACE)?, text(SERVICE_NAME)?) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(name)) => name.into_owned(),
            (_, None) => String::new(),
        };
        let instance = text(SERVICE_INSTANCE)?.unwrap_or_default().into_owned();
        for (name, value) in [("job", job), ("instance", instance)] {
            if !value.is_empty() {
                resource.strong.push(name.as_bytes(), value.as_bytes());
                resource.is_identified = true;
            }
        }
        for attribute in &resource.attributes {
            if otlp.config.promotes(attribute.key) {
                let name = label_name(attribute.key, &otlp.config)
                    .map_err(|why| ContextError::Refused(LabelRefusal::Attribute(why)))?;
                let value = text_of(attribute.value, depth_max)?;
                resource.weak.push(name.as_bytes(), value.as_bytes());
            }
        }
        Ok(resource)
    }

    fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.attributes.iter().find(|attribute| attribute.key == key).map(|found| found.value)
    }

    /// The attributes of the series `target_info`, as those of a data point; `None` if there is no
    /// such series, as it would say nothing or be nobody's.
    pub(super) fn target_info(&self, otlp: &Otlp) -> Option<Vec<u8>> {
        let identifying = |attribute: &Attribute<'_>| IDENTIFYING.contains(&attribute.key);
        if self.attributes.iter().all(identifying) {
            return None;
        }
        let keeps_all = otlp.config.keep_identifying_resource_attributes;
        let mut is_identified = self.is_identified;
        let mut fields = Vec::new();
        for attribute in &self.attributes {
            if identifying(attribute) && !keeps_all {
                continue;
            }
            let name = label_name(attribute.key, &otlp.config);
            is_identified |=
                matches!(name.as_deref(), Ok("job" | "instance")) && !attribute.value.is_empty();
            // The tag of a point's attributes; any would do.
            fields.push(0x3a);
            put_length_prefixed(&mut fields, attribute.message);
        }
        is_identified.then_some(fields)
    }
}

fn attributes(message: &[u8]) -> Result<Vec<Attribute<'_>>, Corrupt> {
    const WHAT: &str = "Resource";
    let mut all = Vec::new();
    let mut fields = Fields::new(WHAT, message);
    while let Some(field) = fields.next_field()? {
        if field.number == 1 {
            let message = field.bytes(WHAT)?;
            let (key, value) = key_value(message)?;
            all.push(Attribute { key, value, message });
        }
    }
    Ok(all)
}

/// Adds the labels of an `InstrumentationScope` to `strong`, if it has a name.
///
/// # Errors
/// Every kind of [`ContextError`].
pub(super) fn add_scope(
    strong: &mut Pairs,
    message: &[u8],
    schema_url: &[u8],
    otlp: &Otlp,
) -> Result<(), ContextError> {
    const WHAT: &str = "InstrumentationScope";
    let (mut name, mut version, mut attributes) = (&[][..], &[][..], Vec::new());
    let mut fields = Fields::new(WHAT, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => name = field.bytes(WHAT)?,
            2 => version = field.bytes(WHAT)?,
            3 => attributes.push(key_value(field.bytes(WHAT)?)?),
            _ => {}
        }
    }
    if name.is_empty() {
        return Ok(());
    }
    for (key, value) in attributes {
        let label = label_name(&format!("{SCOPE_PREFIX}{key}"), &otlp.config)
            .map_err(|why| ContextError::Refused(LabelRefusal::Attribute(why)))?;
        let value = text_of(value, otlp.limits.attribute_depth_max)?;
        strong.push(label.as_bytes(), value.as_bytes());
    }
    for (what, value) in [("name", name), ("version", version), ("schema_url", schema_url)] {
        strong.push(format!("{SCOPE_PREFIX}{what}").as_bytes(), value);
    }
    Ok(())
}
