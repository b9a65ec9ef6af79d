//! An engine for WGSL: the text goes through a WebGPU implementation, whichever driver is below it.
//!
//! It launches kernels only. Buffers are bound whole, so pointers are offsets of 0.

use marquetry::compile::{Code, Target, compile};
use marquetry::engine::{Engine, EngineError, Extent, Outcome};
use marquetry::inputs::LaunchOptions;
use marquetry::value::HostArg;
use marquetry_codegen::shader::{Language, ShaderTarget};
use marquetry_ir::diag::Code as Problem;
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_lower::dispatch::view::{View, overlays_present};
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::legal::{Passing, Role};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wgpu::util::DeviceExt;

/// Launches kernels on the first adapter.
pub struct WebGpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    program: Arc<Program>,
    tables: Vec<String>,
    opt_level: OptLevel,
    options: LaunchOptions,
}

/// What is there at once: native implementations never wait.
fn now<T>(future: impl Future<Output = T>) -> Result<T, String> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("the implementation of WebGPU is not there at once".into()),
    }
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(error.to_string())
}

/// What WGSL has no form for is no failure.
fn refused(error: EngineError) -> EngineError {
    match error {
        EngineError::Program(list) if list.iter().all(|d| d.code == Problem::Unsupported) => {
            EngineError::Unsupported(list.first().map_or_else(String::new, |d| d.message.clone()))
        }
        other => other,
    }
}

impl WebGpu {
    /// Opens the first adapter; otherwise the reason.
    pub fn open(opt_level: OptLevel) -> Result<WebGpu, String> {
        let instance = wgpu::Instance::default();
        let adapter = now(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
        let adapter = adapter.map_err(|error| error.to_string())?;
        let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = now(adapter.request_device(&descriptor))?.map_err(|error| error.to_string())?;
        let (program, tables, options) = Default::default();
        Ok(WebGpu { device, queue, program, tables, opt_level, options })
    }

    fn buffer(&self, bytes: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let mut contents = bytes.to_vec();
        contents.resize(bytes.len().next_multiple_of(4).max(4), 0);
        let usage = usage | wgpu::BufferUsages::STORAGE;
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: &contents,
            usage,
        })
    }

    fn read(&self, from: &wgpu::Buffer, bytes: &mut [u8]) -> Result<(), String> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = from.size();
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| error.to_string())?;
        let view = staging.slice(..).get_mapped_range().map_err(|error| error.to_string())?;
        bytes.iter_mut().zip(view.iter()).for_each(|(to, &from)| *to = from);
        Ok(())
    }
}

impl Engine for WebGpu {
    fn name(&self) -> &'static str {
        "webgpu"
    }

    fn load(&mut self, program: Arc<Program>) {
        self.program = program;
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn set_tables(&mut self, names: &[String]) {
        self.tables = names.to_vec();
    }

    fn options(&mut self) -> &mut LaunchOptions {
        &mut self.options
    }

    fn call_checked(&mut self, _: Method, _: &mut [HostArg]) -> Result<Outcome, EngineError> {
        Err(EngineError::Unsupported("functions are not wrapped into kernels here".into()))
    }

    fn launch_checked(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        let target = ShaderTarget::new(Language::Wgsl, extent.block)?;
        let view = View::device(&overlays_present(&self.program, &self.tables));
        let mut job = Job::new(vec![method], view, self.opt_level);
        job.options.state = self.options.state_type();
        let compiled = compile(&self.program, &job, &Target::Shader(target)).map_err(refused)?;
        let Code::Artifact(artifact) = &compiled.code else { return Err(failed("no text")) };
        let entry = compiled.entry()?;
        if !entry.abi.inputs.is_empty() {
            return Err(EngineError::Unsupported("hidden inputs are not bound here".into()));
        }
        let text = String::from_utf8_lossy(&artifact.code);

        let guard = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(text.as_ref().into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some(&entry.symbol),
            compilation_options: Default::default(),
            cache: None,
        });
        // The mailbox, which stands in for null, too; then the arguments' buffers; then what is passed by reference.
        let storage = |bytes: &[u8]| self.buffer(bytes, wgpu::BufferUsages::COPY_SRC);
        let mut buffers = vec![storage(&[0; Record::BYTES])];
        for arg in args.iter() {
            if let HostArg::Buffer { bytes, .. } = arg {
                buffers.push(storage(bytes));
            }
        }
        let mut next = 1;
        let (slots, size) = entry.block();
        let mut block = vec![0; size as usize];
        let mut pointers = Vec::new();
        let is_ghost = |arg: &&HostArg| matches!(arg, HostArg::Aggregate(bytes) if bytes.is_empty());
        let mut rest = args.iter().filter(|arg| !is_ghost(arg));
        for argument in entry.arguments() {
            let state = self.options.state.as_ref().map_or_else(Vec::new, |state| state.bytes.clone());
            let bytes = match (&argument.role, argument.passing) {
                (_, Passing::Ghost) => continue,
                (Role::State, _) => state,
                (Role::Mailbox, _) => {
                    pointers.push(0);
                    continue;
                }
                (Role::Argument | Role::Input(_), _) => match rest.next() {
                    Some(HostArg::Buffer { .. }) => {
                        pointers.push(next);
                        next += 1;
                        continue;
                    }
                    Some(HostArg::Value(value)) if value.ty().is_pointer() => {
                        pointers.push(0);
                        continue;
                    }
                    Some(HostArg::Value(value)) => value.to_bytes(),
                    Some(HostArg::Aggregate(bytes)) => bytes.clone(),
                    None => return Err(failed("an argument is missing")),
                },
            };
            if bytes.len() as u64 != argument.size {
                return Err(failed(format!(
                    "an argument has {} bytes, wanted {}",
                    bytes.len(),
                    argument.size
                )));
            }
            if argument.passing == Passing::Reference {
                buffers.push(storage(&bytes));
                pointers.push(buffers.len() - 1);
                continue;
            }
            for (slot, &from) in slots.iter().skip(argument.first as usize).zip(&argument.parts) {
                if slot.is_pointer {
                    pointers.push(0);
                    continue;
                }
                let place = block.iter_mut().skip(slot.offset as usize).take(slot.size as usize);
                place.zip(bytes.iter().skip(from as usize)).for_each(|(to, &from)| *to = from);
            }
        }
        if rest.next().is_some() {
            return Err(failed("an argument too many"));
        }
        let arguments = self.buffer(&block, wgpu::BufferUsages::empty());
        // Bindings that the kernel does not use are not in the layout.
        let used = |binding: &u32| text.contains(&format!("@binding({binding})"));
        let bound = |(binding, buffer): (u32, &wgpu::Buffer)| (binding, buffer.clone());
        let all = std::iter::once(&arguments).chain(pointers.iter().filter_map(|&n| buffers.get(n)));
        let all: Vec<(u32, wgpu::Buffer)> = (0..).zip(all).map(bound).filter(|(n, _)| used(n)).collect();
        let entries: Vec<wgpu::BindGroupEntry<'_>> = all
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        if !extent.grid.contains(&0) {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            if !entries.is_empty() {
                let layout = pipeline.get_bind_group_layout(0);
                let descriptor =
                    wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
                pass.set_bind_group(0, &self.device.create_bind_group(&descriptor), &[]);
            }
            let [x, y, z] = extent.grid;
            pass.dispatch_workgroups(x, y, z);
        }
        self.queue.submit([encoder.finish()]);
        if let Some(error) = now(guard.pop()).map_err(failed)? {
            return Err(failed(format!("{error}\n{text}")));
        }
        let mut next = 1;
        for arg in args.iter_mut() {
            if let HostArg::Buffer { bytes, .. } = arg {
                if let Some(buffer) = buffers.get(next) {
                    self.read(buffer, bytes).map_err(failed)?;
                }
                next += 1;
            }
        }
        let mut mailbox = [0; Record::BYTES];
        if let Some(buffer) = buffers.first() {
            self.read(buffer, &mut mailbox).map_err(failed)?;
        }
        Ok(match compiled.thrown_in(&mailbox) {
            Some(thrown) => Outcome::Threw(thrown),
            None => Outcome::Returned(Vec::new()),
        })
    }
}
