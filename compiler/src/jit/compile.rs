//! From a typed program to machine code in memory, and its two readable forms (CLIF and assembler).
//! This module has no unsafe code; its parent module runs the code. The invariant: the code does
//! not contain the addresses of constants, which it reaches through the context's pool. (Rejected:
//! addresses of constants in the code, which make its text differ from run to run.)

use super::decide::{self, Ground};
use super::emit::{Helpers, Regions};
use super::fire;
use super::nodes::Node;
use super::probe;
use super::shims;
use crate::budget::{CompileBudget, Stop};
use crate::environment::Environment;
use crate::hir::Program;
use crate::plan::cost::CodePlan;
use cranelift_codegen::Context;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, AliasRegionData, Signature, UserFuncName};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};

/// Why a program could not be compiled to native code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JitError {
    /// Cranelift has no code generator for this processor.
    #[error("native code is not available on this machine: {0}")]
    Machine(String),
    /// The code generator failed.
    #[error("native code could not be generated: {0}")]
    Codegen(String),
    /// The compilation was stopped.
    #[error("{0}")]
    Stopped(Stop),
}

/// The result of a compilation.
pub struct Compiled {
    pub module: JITModule,
    pub decide: FuncId,
    /// The functions that write the packets' keys and window events, and that write which triggers
    /// they raise.
    pub raise: Option<(FuncId, FuncId)>,
    pub pool: Vec<u64>,
    pub nodes: Vec<Node>,
}

/// The readable forms of the generated code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Cranelift's intermediate form, before optimisation.
    pub clif: String,
    /// The machine code, as assembler.
    pub asm: String,
}

fn module() -> Result<JITModule, JitError> {
    let codegen = |e: settings::SetError| JitError::Codegen(e.to_string());
    let mut flags = settings::builder();
    flags.set("opt_level", "speed").map_err(codegen)?;
    flags.set("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }).map_err(codegen)?;
    flags.set("is_pic", "false").map_err(codegen)?;
    flags.set("use_colocated_libcalls", "false").map_err(codegen)?;
    let isa = cranelift_native::builder().map_err(|e| JitError::Machine(e.to_string()))?;
    let isa = isa.finish(settings::Flags::new(flags)).map_err(|e| JitError::Machine(e.to_string()))?;
    if isa.pointer_bytes() != 8 || isa.endianness() != cranelift_codegen::ir::Endianness::Little {
        return Err(JitError::Machine("only 64-bit little-endian machines are supported".into()));
    }
    let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
    builder.symbols(shims::table().map(|shim| (shim.name, shim.address)));
    Ok(JITModule::new(builder))
}

/// Compiles a program.
///
/// # Errors [`JitError`]. The budget's time is checked before each function.
pub fn compile(
    program: &Program,
    environment: &Environment,
    budget: &CompileBudget,
) -> Result<Compiled, JitError> {
    let mut built = Build::new(program, environment, budget)?;
    let decide = built.function("decide", decide::emit)?;
    let triggers = program.uses().triggers;
    let mut pair = || Ok((built.function("probe", probe::emit)?, built.function("fire", fire::emit)?));
    let raise = if triggers { Some(pair()?) } else { None };
    let Build { mut module, pool, nodes, .. } = built;
    module.finalize_definitions().map_err(|e| JitError::Codegen(e.to_string()))?;
    Ok(Compiled { module, decide, raise, pool, nodes })
}

/// The readable code of a program: of the function that decides, then of the functions for
/// triggers, if there are any.
pub fn listing(program: &Program, environment: &Environment) -> Result<Listing, JitError> {
    let budget = CompileBudget::default();
    let mut built = Build::new(program, environment, &budget)?;
    let mut listing = built.listing(decide::emit)?;
    if program.uses().triggers {
        for emit in [probe::emit, fire::emit] {
            let more = built.listing(emit)?;
            listing.clif.push_str(&more.clif);
            listing.asm.push_str(&more.asm);
        }
    }
    Ok(listing)
}

/// A function that emits the body of a generated function.
type Emitter = fn(FunctionBuilder<'_>, &Ground<'_>, &mut Vec<u64>, &mut Vec<Node>, TargetFrontendConfig);

/// The functions of a program share their constants and nodes.
struct Build<'a> {
    program: &'a Program,
    environment: &'a Environment,
    plan: CodePlan,
    budget: &'a CompileBudget,
    module: JITModule,
    pool: Vec<u64>,
    nodes: Vec<Node>,
}

impl<'a> Build<'a> {
    fn new(
        program: &'a Program,
        environment: &'a Environment,
        budget: &'a CompileBudget,
    ) -> Result<Self, JitError> {
        let plan = CodePlan::new(program, budget).map_err(JitError::Stopped)?;
        Ok(Build {
            program,
            environment,
            plan,
            budget,
            module: module()?,
            pool: Vec::new(),
            nodes: Vec::new(),
        })
    }

    fn function(&mut self, name: &str, emit: Emitter) -> Result<FuncId, JitError> {
        let mut context = self.emit(emit)?;
        self.budget.stopped().map_or(Ok(()), |stop| Err(JitError::Stopped(stop)))?;
        let codegen = |e: cranelift_module::ModuleError| JitError::Codegen(e.to_string());
        let signature = context.func.signature.clone();
        let id = self.module.declare_function(name, Linkage::Local, &signature).map_err(codegen)?;
        self.module.define_function(id, &mut context).map_err(codegen)?;
        self.budget.stopped().map_or(Ok(()), |stop| Err(JitError::Stopped(stop)))?;
        Ok(id)
    }

    fn listing(&mut self, emit: Emitter) -> Result<Listing, JitError> {
        let mut context = self.emit(emit)?;
        let clif = context.func.display().to_string();
        context.set_disasm(true);
        let code = context
            .compile(self.module.isa(), &mut Default::default())
            .map_err(|e| JitError::Codegen(format!("{:?}", e.inner)))?;
        let asm = code.vcode.clone().unwrap_or_default();
        Ok(Listing { clif, asm })
    }

    fn emit(&mut self, emit: Emitter) -> Result<Context, JitError> {
        let module = &mut self.module;
        let mut context = module.make_context();
        context.func.name = UserFuncName::user(0, 0);
        context.func.signature = signature(module, 3, false);
        let mut frontend_context = FunctionBuilderContext::new();
        let b = FunctionBuilder::new(&mut context.func, &mut frontend_context);
        let mut imported = Vec::new();
        for shim in shims::table() {
            let signature = signature(module, shim.parameters, shim.returns);
            let id = module
                .declare_function(shim.name, Linkage::Import, &signature)
                .map_err(|e| JitError::Codegen(e.to_string()))?;
            imported.push(module.declare_func_in_func(id, b.func));
        }
        let &[dissect, test, number, search, ask, settle, cut, finish, interpret] = imported.as_slice()
        else {
            return Err(JitError::Codegen("the table of helpers does not fit the code generator".into()));
        };
        let helpers = Helpers { dissect, test, number, search, ask, settle, cut, finish, interpret };
        let mut region = |user_id, description: &'static str| {
            b.func.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
        };
        let regions =
            Regions { frame: region(0, "frame"), pool: region(1, "pool"), state: region(2, "state") };
        let (program, environment, CodePlan { rules, limits, left }) =
            (self.program, self.environment, &self.plan);
        let ground = Ground { program, environment, rules, limits, left: *left, helpers, regions };
        let frontend = module.isa().frontend_config();
        emit(b, &ground, &mut self.pool, &mut self.nodes, frontend);
        Ok(context)
    }
}

fn signature(module: &JITModule, parameters: usize, returns: bool) -> Signature {
    let mut signature = module.make_signature();
    signature.params.extend((0..parameters).map(|_| AbiParam::new(I64)));
    if returns {
        signature.returns.push(AbiParam::new(I64));
    }
    signature
}
