//! Constants of tables and params as JSON. The invariant: what is written here is read back as the
//! same value, by the API, by files of events and from the state. (Rejected: serde for the values
//! themselves; a number stands for a MAC, a duration or a word, and only the type says which.)

use mrule_compiler::hir::{Value, ValueTy};
use mrule_compiler::table::Form;
use serde_json::Value as Json;

/// A key as JSON.
pub(super) fn key_json(form: &Form, key: &[Value]) -> Vec<Json> {
    key.iter().zip(&form.key).map(|(value, ty)| value_json(*ty, &form.words, value)).collect()
}

/// A value as JSON: numbers as numbers, all else as text.
pub(super) fn value_json(ty: ValueTy, words: &[String], value: &Value) -> Json {
    match (ty, value) {
        (ValueTy::Bool, Value::Num(n)) => Json::from(*n != 0),
        (ValueTy::Word, Value::Num(n)) => {
            words.get(*n as usize).map_or(Json::Null, |w| Json::from(w.as_str()))
        }
        (ValueTy::Mac, Value::Num(n)) => {
            let bytes: Vec<String> = n.to_be_bytes()[2..].iter().map(|b| format!("{b:02x}")).collect();
            Json::from(bytes.join(":"))
        }
        (ValueTy::Duration, Value::Num(n)) => Json::from(format!("{n}ns")),
        (_, Value::Num(n)) => Json::from(*n),
        (_, Value::Text(text)) => Json::from(String::from_utf8_lossy(text)),
        (ValueTy::Cidr, Value::Ip(ip, length)) => Json::from(format!("{ip}/{length}")),
        (_, Value::Ip(ip, _)) => Json::from(ip.to_string()),
    }
}
