//! Schemas of namespaces whose samples are protobuf messages.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::error::{Error, check_limit};
use crate::generated::namespace;
use crate::limits::{SCHEMA_FILES_MAX, SCHEMAS_MAX};

/// A schema that is to be added.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its id, which nobody else has.
    pub deploy_id: String,
    /// The file that has the message.
    pub file: String,
    /// The message that is stored, with its package.
    pub message: String,
    /// Texts of the file and of those that it imports, by name.
    pub sources: BTreeMap<String, String>,
}

impl Schema {
    /// The schemas with this one at their end.
    ///
    /// # Errors
    /// [`Error::Refused`] for a text that is no protobuf file, or lacks the message, and
    /// [`Error::Limit`].
    pub(super) fn appended(
        &self,
        options: Option<namespace::SchemaOptions>,
    ) -> Result<namespace::SchemaOptions, Error> {
        let Self { file, message, deploy_id, .. } = self;
        let context = format!("failed to append schema history from {file} for message {message}");
        let refused = |why: String| Error::Refused(format!("{context}: {why}"));
        // A chain of imports is as deep as there are files.
        check_limit("the number of files of a schema", self.sources.len(), SCHEMA_FILES_MAX)?;
        let files = self.compiled().map_err(refused)?;
        if !files.file.iter().any(|file| has_message(&file.message_type, file.package(), message)) {
            let missing = format!("failed to find message ({message}) in deployment({deploy_id})");
            let why = format!("new schema is not valid: {missing}: invalid schema options");
            return Err(refused(why));
        }
        let mut versions = options.and_then(|options| options.history).unwrap_or_default().versions;
        check_limit("the number of schemas", versions.len() + 1, SCHEMAS_MAX)?;
        versions.push(namespace::FileDescriptorSet {
            deploy_id: deploy_id.clone(),
            prev_id: versions.last().map_or(String::new(), |last| last.deploy_id.clone()),
            descriptors: files.file.iter().map(Message::encode_to_vec).collect(),
        });
        Ok(namespace::SchemaOptions {
            history: Some(namespace::SchemaHistory { versions }),
            default_message_name: message.clone(),
        })
    }

    /// The descriptors of all files, a file after those that it imports.
    fn compiled(&self) -> Result<FileDescriptorSet, String> {
        let file = &self.file;
        let unparsed = |why: String| {
            format!("failed to parse schema from {file}: failed to parse proto file: {file}: {why}")
        };
        let mut resolver = ChainFileResolver::new();
        resolver.add(Sources(self.sources.clone()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(file).map_err(|error| unparsed(error.to_string()))?;
        let files = compiler.file_descriptor_set();
        let own = files.file.iter().find(|found| found.name() == file);
        match own.is_some_and(|own| own.syntax() == "proto3") {
            true => Ok(files),
            false => {
                let why = format!("proto file ({file}) is not proto3: proto syntax is not proto3");
                Err(format!("failed to parse schema from {file}: {why}"))
            }
        }
    }
}

fn has_message(messages: &[DescriptorProto], scope: &str, wanted: &str) -> bool {
    messages.iter().any(|message| {
        let name = match scope {
            "" => message.name().to_owned(),
            scope => format!("{scope}.{}", message.name()),
        };
        name == wanted || has_message(&message.nested_type, &name, wanted)
    })
}

/// Files that a request brings along.
struct Sources(BTreeMap<String, String>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema {
            deploy_id: "2".to_owned(),
            file: "a.proto".to_owned(),
            message: "p.M.N".to_owned(),
            sources: BTreeMap::from([("a.proto".to_owned(), text.to_owned())]),
        }
    }

    const GOOD: &str = "syntax = \"proto3\"; package p; message M { message N { int64 a = 1; } }";

    #[test]
    fn schemas_follow_each_other() {
        let first = Schema { deploy_id: "1".to_owned(), ..schema(GOOD) };
        let options = first.appended(None).expect("a schema");
        let options = schema(GOOD).appended(Some(options)).expect("another");
        let versions = options.history.expect("both").versions;
        let ids = versions.iter().map(|v| (&*v.deploy_id, &*v.prev_id, v.descriptors.len()));
        assert_eq!(ids.collect::<Vec<_>>(), [("1", "", 1), ("2", "1", 1)]);
        assert_eq!(options.default_message_name, "p.M.N");
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let missing = Schema { message: "p.Other".to_owned(), ..schema(GOOD) };
        let why = missing.appended(None).expect_err("no such message").to_string();
        assert!(why.contains("failed to find message (p.Other) in deployment(2)"), "{why}");
        let importing = "syntax = \"proto3\"; import \"b.proto\";";
        for text in ["", "message", "syntax = \"proto2\"; message M {}", importing] {
            assert!(schema(text).appended(None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_deep_text_is_refused() {
        let deep =
            format!("syntax = \"proto3\";{}{}", "message M {".repeat(10_000), "}".repeat(10_000));
        assert!(schema(&deep).appended(None).is_err());
    }
}
