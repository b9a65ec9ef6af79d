//! Sessions and images: writing what jobs become, and taking it from there in place of compiling.

use super::cache::{Key, New, Record};
use super::jobs::{view, view_of};
use super::{Job, Session, SessionError};
use crate::compile::{Compiled, Form, Target, lower};
use crate::engine::EngineError;
use crate::image::{
    Draft, Image, ImageEntry, ImageError, LoadedImage, Match, Mismatch, Resolver, StoredConfig, assemble,
    entry_name, replace_file,
};
use crate::memory;
use marquetry_codegen::native::{ExternPolicy, check_blob_target, emit_blob};
use marquetry_ir::program::{Program, Reference};
use marquetry_ir::threads::on_threads;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::failure::Failure;
use marquetry_lower::observe::Silent;
use marquetry_lower::pipeline::Lowering;
use marquetry_lower::references::Strategy;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// An entry of an image that does not match the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stale {
    /// The method, with the types of its arguments.
    pub name: String,
    /// The identity of the config that it was compiled with.
    pub config: String,
    /// What is otherwise.
    pub why: String,
}

/// The method of a job, with the types of its arguments.
fn job_name(program: &Program, job: &Job) -> String {
    let data = program.method(job.entry.method);
    let arguments = job.entry.arguments.as_deref().unwrap_or(&data.signature.params);
    entry_name(&program.types, &data.name, arguments)
}

/// The values of this process that code contains: addresses.
fn baked(unit: &Unit) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for function in unit.funcs.values() {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            body.visit_operands(inst, |value| {
                let address = body.value_bits(value).filter(|_| body.value_type(value).is_pointer());
                if let Some(address) = address.filter(|&address| address != 0) {
                    found.insert(format!("the address {address:#x} in '{}'", function.name));
                }
            });
        }
    }
    found
}

impl Session {
    /// An image of what these jobs become, compiled on all cores. Its bytes depend on the jobs, their order and the program
    /// only. The cache stays as it is. Functions of the host are symbols in it, whatever their addresses are here.
    ///
    /// # Errors
    /// A job does not compile, is not native, or means something in this process only; or two jobs may write one global:
    /// each job has memory of its own.
    pub fn image(&self, jobs: &[Job]) -> Result<Vec<u8>, ImageError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        self.image_with_threads(jobs, threads)
    }

    /// As [`Self::image`], on this many threads.
    ///
    /// # Errors
    /// As there.
    pub fn image_with_threads(&self, jobs: &[Job], threads: usize) -> Result<Vec<u8>, ImageError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((n, job)) = {
                let n = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(n).map(|job| (n, job))
            } {
                done.push((n, self.draft(job)));
            }
            done
        };
        let drafts = on_threads(threads.min(jobs.len()), work);
        let mut drafts: Vec<_> = drafts.into_iter().flatten().collect();
        drafts.sort_unstable_by_key(|(n, _)| *n);
        let drafts: Vec<Draft> = drafts.into_iter().map(|(_, draft)| draft).collect::<Result<_, _>>()?;
        assemble(&self.snapshot(), drafts)
    }

    /// Writes [an image](Self::image) to a file, which is replaced as a whole or not at all.
    ///
    /// # Errors
    /// As there; or the file cannot be written.
    pub fn write_image(&self, path: &Path, jobs: &[Job]) -> Result<(), ImageError> {
        replace_file(path, &self.image(jobs)?)
    }

    /// A job, compiled for an image.
    fn draft(&self, job: &Job) -> Result<Draft, ImageError> {
        let snapshot = self.snapshot();
        let name = job_name(&snapshot, job);
        let failed = |error: SessionError| ImageError::compile(&name, error);
        let (program, backend) = self.pinned(job).map_err(failed)?;
        let not_storable = |why: Vec<String>| ImageError::NotStorable { entry: name.clone(), why };
        let Target::Native(target) = &job.config.target else {
            let why = format!("its target {} is not native", job.config.target.lowering().name());
            return Err(not_storable(vec![why]));
        };
        check_blob_target(target)?;
        let mut why = Vec::new();
        if target.options().externs == ExternPolicy::Addresses {
            why.push("the addresses of functions of the host, which its target asks for".to_owned());
        }
        if job.config.params.any().is_some() {
            why.push(format!("the params {:?} of its config", job.config.params));
        }
        let marked = {
            let state = self.shared.lock();
            state
                .cache
                .find(&job.entry, &job.config, job.world)
                .is_some_and(|(_, entry)| entry.session_dependent)
        };
        if marked {
            why.push("what the host attached to it, marked as depending on the session".to_owned());
        }
        let setup = self.setup(&backend, job);
        let mut lower_job = self.lower_job(&program, job).map_err(failed)?;
        // Words are filled when the image is loaded, before any code of it runs, whoever was to do so.
        if lower_job.options.references == Strategy::Patch {
            lower_job.options.references = Strategy::Import;
        }
        let mut memory_of_entry = Vec::new();
        let lowered = memory::with(|memory| {
            let mut lowering = lower(memory, &program, &lower_job, &setup, &mut Silent)?;
            why.extend(baked(lowering.legal.unit()));
            why.extend(lowering.legal.baked().iter().map(|reference| format!("the word of {reference}")));
            let blob = match why.is_empty() {
                true => Some(emit_blob(&lowering.legal, target, &mut memory.native)),
                false => None,
            };
            let globals = lowering.legal.unit().globals.values();
            let own = globals.filter(|global| global.space == Space::Global);
            memory_of_entry = own.map(|global| global.name.clone()).collect();
            let instances = std::mem::take(&mut lowering.instances);
            Ok::<_, Failure>((lowering, instances, blob))
        });
        let (lowering, instances, blob) = lowered.map_err(|failure| {
            failed(SessionError::Compile(match failure {
                Failure::Program(problems) => EngineError::Program(problems),
                other => other.into(),
            }))
        })?;
        let Some(blob) = blob else { return Err(not_storable(why)) };
        let blob = blob.map_err(|error| failed(SessionError::Compile(error.into())))?;
        let Lowering { types, signatures, deferred, .. } = lowering;
        let results: Vec<Type> = signatures.first().map(|first| first.results.clone()).unwrap_or_default();
        Ok(Draft {
            method: job.entry.method,
            config: StoredConfig {
                identity: job.config.identity(&program.types),
                tables: job.config.tables.clone(),
                provider: job.config.provider.clone(),
                device: job.config.device,
            },
            target: target.clone(),
            validated: job.config.options.validate,
            results,
            places: blob.places.clone(),
            instances,
            children: deferred,
            memory: memory_of_entry,
            types,
            name,
            blob,
        })
    }

    /// Takes an image into use: jobs for what it has are not compiled any more, where it matches the program. Of several
    /// images the last one is asked first.
    ///
    /// # Errors
    /// The file is no image for this process. The session stays as it was. A symbol without an address is no error here:
    /// entries that need it count as [`Self::stale`].
    ///
    /// # Safety
    /// As for a shared library: the file was written by [`Self::write_image`] or what else makes images of this crate, by
    /// somebody who is trusted with this process, and is not changed in place while it is in use. What the resolver gives
    /// is what the program declares under these names, does not unwind, and lives as long as code of the image.
    #[allow(unsafe_code, reason = "what the file holds is the caller's promise")]
    pub unsafe fn load_image(
        &self,
        path: &Path,
        resolver: &dyn Resolver,
    ) -> Result<Arc<LoadedImage>, ImageError> {
        // SAFETY: the caller's promise.
        unsafe { self.add_image(Image::open(path)?, resolver) }
    }

    /// As [`Self::load_image`], for an image that was opened before.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    #[allow(unsafe_code, reason = "what the image holds is the caller's promise")]
    pub unsafe fn add_image(
        &self,
        image: Image,
        resolver: &dyn Resolver,
    ) -> Result<Arc<LoadedImage>, ImageError> {
        let image = Arc::new(image.link(resolver)?);
        self.shared.lock().images.push(image.clone());
        Ok(image)
    }

    /// The addresses that this session was given with [`Self::with_symbol`], and the words of its host, as a resolver.
    pub fn symbols(&self) -> impl Resolver + '_ {
        |symbol: &crate::image::HostSymbol<'_>| {
            if let Some(&address) = self.symbols.get(symbol.name) {
                return Ok(std::ptr::with_exposed_provenance(address));
            }
            let reference = symbol.reference();
            let word = self.host.resolve(&reference).map_err(|why| match reference {
                Reference::Symbol { library: None, .. } => "the session has no such symbol".to_owned(),
                _ => why,
            })?;
            let address = usize::try_from(word).map_err(|_| format!("{word:#x} is no address here"))?;
            Ok(std::ptr::with_exposed_provenance(address))
        }
    }

    /// The entries of an image that do not match the present program, and are compiled afresh when they are asked for.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn stale(&self, image: &LoadedImage) -> Result<Vec<Stale>, ImageError> {
        let program = self.snapshot();
        let mut stale = Vec::new();
        for (number, entry) in (0..).zip(image.entries()) {
            let ImageEntry { name, config, ref tables, ref provider, device, .. } = entry;
            let view = view_of(&program, tables, provider, device).at(program.world());
            match image.compare(number, &program, &view, None, &self.hashes) {
                Ok(_) => {}
                Err(Mismatch::Image(error)) => return Err(error),
                Err(Mismatch::Stale(why)) => {
                    stale.push(Stale { name: name.to_owned(), config: config.to_owned(), why });
                }
            }
        }
        Ok(stale)
    }

    /// The code of a job from an image, if one has it and it matches; it is in the cache then. `above` are the jobs that this one
    /// is a child of.
    pub(super) fn stored(
        &self,
        job: &Job,
        above: &mut Vec<Key>,
    ) -> Result<Option<Arc<Compiled>>, SessionError> {
        let images = self.shared.lock().images.clone();
        let of_host = matches!(&job.config.target, Target::Native(target) if target.is_host());
        if images.is_empty()
            || !of_host
            || job.config.form != Form::Memory
            || job.config.params.any().is_some()
        {
            return Ok(None);
        }
        let (program, _) = self.pinned(job)?;
        let name = job_name(&program, job);
        let table = program.table_name(program.method(job.entry.method).table());
        let config = job.config.identity(&program.types);
        let open = view(&program, &job.config)?;
        let pinned = open.clone().at(job.world);
        for image in images.iter().rev() {
            let Some(number) = image.find(table, &name, &config) else { continue };
            let found = match image.compare(number, &program, &pinned, Some(job.entry.method), &self.hashes) {
                Ok(found) => found,
                Err(Mismatch::Stale(_)) => continue,
                Err(Mismatch::Image(error)) => return Err(SessionError::Image(error)),
            };
            let Match { details, instances, types, worlds } = found;
            // These are looked up anew: the code knows nothing of what they are.
            let family = self.children(job, &details.children, &types, above)?;
            let mut compiled = image.code_of(details);
            compiled.children = family.children;
            let compiled = Arc::new(compiled);
            let mut record = vec![Record { instances, types, view: open }];
            record.extend(family.record);
            let (key, world, seen) = (Key::from(job), job.world, program.world());
            let (worlds, children) = (worlds.intersect(family.worlds), family.keys);
            let new = New { key, world, worlds, seen, record, children };
            let object = self.shared.lock().insert(new);
            let kept = object.compiled.get_or_init(|| compiled).clone();
            self.loaded.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(kept));
        }
        Ok(None)
    }
}
