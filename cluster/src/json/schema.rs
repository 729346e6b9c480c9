//! Names and kinds of the fields of messages, from the descriptors that the generator kept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// All messages and enums of this room.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let bytes = include_bytes!("../generated/descriptors.bin");
    let files = FileDescriptorSet::decode(&bytes[..])
        .expect("BUG: the descriptors are checked in, and tidy holds them to their sources");
    Schema::of(&files)
});

#[derive(Debug, Default)]
struct Schema {
    messages: BTreeMap<String, MessageSchema>,
    enums: BTreeMap<String, EnumSchema>,
}

/// A message.
#[derive(Debug)]
pub(super) struct MessageSchema {
    /// Its name with its package.
    pub(super) name: String,
    /// Its fields in the order of their declaration.
    pub(super) fields: Vec<FieldSchema>,
    is_map_entry: bool,
}

/// An enum: names and numbers.
#[derive(Debug)]
pub(super) struct EnumSchema {
    /// Its name with its package.
    pub(super) name: String,
    values: Vec<(String, i32)>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct FieldSchema {
    /// Its name in the protobuf file.
    pub(super) name: String,
    /// Its name in JSON.
    pub(super) json_name: String,
    /// Its number on the wire.
    pub(super) number: u32,
    /// What it holds.
    pub(super) kind: Kind,
    /// Whether it holds any number of them.
    pub(super) is_repeated: bool,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Double,
    Text,
    Bytes,
    Enum(String),
    Message(String),
}

/// The message of that name, package included.
pub(super) fn message(name: &str) -> &'static MessageSchema {
    SCHEMA.messages.get(name).expect("BUG: a generated type names a message of the descriptors")
}

/// The enum of that name, package included.
pub(super) fn enumeration(name: &str) -> &'static EnumSchema {
    SCHEMA.enums.get(name).expect("BUG: a descriptor names an enum of the descriptors")
}

impl FieldSchema {
    /// The entry's message, if the field is a map.
    pub(super) fn map_entry(&self) -> Option<&'static MessageSchema> {
        let Kind::Message(name) = &self.kind else { return None };
        Some(message(name)).filter(|entry| entry.is_map_entry)
    }

    fn of(field: &FieldDescriptorProto) -> Self {
        let type_name = || field.type_name().trim_start_matches('.').to_owned();
        let kind = match field.r#type() {
            Type::Bool => Kind::Bool,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Double => Kind::Double,
            Type::String => Kind::Text,
            Type::Bytes => Kind::Bytes,
            Type::Enum => Kind::Enum(type_name()),
            Type::Message => Kind::Message(type_name()),
            // Of Google's files, which come along; no message of ours has one.
            Type::Float
            | Type::Fixed32
            | Type::Fixed64
            | Type::Sfixed32
            | Type::Sfixed64
            | Type::Sint32
            | Type::Sint64
            | Type::Group => Kind::Bytes,
        };
        Self {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            number: u32::try_from(field.number()).expect("BUG: field numbers are positive"),
            kind,
            is_repeated: field.label() == Label::Repeated,
        }
    }
}

impl EnumSchema {
    /// The number of a name.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// The name of a number.
    pub(super) fn value_name(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str())
    }
}

impl Schema {
    fn of(files: &FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        for file in &files.file {
            for message in &file.message_type {
                schema.add(file.package(), message);
            }
            for item in &file.enum_type {
                let name = format!("{}.{}", file.package(), item.name());
                let values = item.value.iter().map(|v| (v.name().to_owned(), v.number()));
                let item = EnumSchema { name: name.clone(), values: values.collect() };
                schema.enums.insert(name, item);
            }
        }
        schema
    }

    fn add(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        let is_map_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
        let fields = message.field.iter().map(FieldSchema::of).collect();
        self.messages.insert(name.clone(), MessageSchema { name, fields, is_map_entry });
    }
}
