//! Which engines a build has.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn engine(kind: EngineKind) -> Result<Engine, EngineError> {
    let program = Arc::new(Program::default());
    let environment = Environment::new(&program).unwrap();
    Engine::new(kind, program, &environment)
}

#[test]
fn the_interpreter_is_in_every_build() {
    assert_eq!(engine(EngineKind::Interp).unwrap().kind(), EngineKind::Interp);
}

#[cfg(feature = "jit")]
#[test]
fn native_code_is_in_the_usual_build() {
    assert_eq!(engine(EngineKind::Jit).unwrap().kind(), EngineKind::Jit);
}

#[cfg(not(feature = "jit"))]
#[test]
fn a_build_without_native_code_says_so() {
    let told = engine(EngineKind::Jit).unwrap_err().to_string();
    assert!(told.contains("feature `jit`") && told.contains("interpreter"), "{told}");
}
