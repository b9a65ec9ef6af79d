//! Patterns: whether a method takes arguments of these types, and what its variables then stand for.
//!
//! Arguments are always concrete, so a variable that occurs twice must stand for the same type twice (the diagonal
//! rule); `Real` instead of a variable may be another type at each place. The same comparison with another method's
//! parameters in place of the arguments tells which of two methods is the more specific one.

use marquetry_ir::program::{MethodData, Program};
use marquetry_ir::types::{Abstract, Aggregate, Generic, Singleton, Space, Type, TypeError, TypeKind, Types};
use smallvec::SmallVec;

/// What one variable stands for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Bound {
    /// A type.
    Type(Type),
    /// A length or number of lanes.
    Count(u64),
    /// An address space.
    Space(Space),
}

impl Bound {
    /// In words.
    fn describe(self, types: &Types) -> String {
        match self {
            Bound::Type(ty) => types.display(ty).to_string(),
            Bound::Count(count) => count.to_string(),
            Bound::Space(space) => space.name().into(),
        }
    }
}

/// What the variables of a method stand for, in the order in which they were met.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bindings(SmallVec<[(Type, Bound); 4]>);

impl Bindings {
    /// What a variable stands for.
    pub fn get(&self, variable: Type) -> Option<Bound> {
        self.0.iter().find(|(other, _)| *other == variable).map(|(_, bound)| *bound)
    }

    /// The variables with what they stand for, as types.
    ///
    /// # Errors
    /// There are too many types.
    pub fn as_types(&self, types: &mut Types) -> Result<Vec<(Type, Type)>, TypeError> {
        let settle = |&(variable, bound): &(Type, Bound)| {
            let ty = match bound {
                Bound::Type(ty) => ty,
                Bound::Count(count) => types.length(count)?,
                Bound::Space(space) => types.singleton(Singleton::Space(space))?,
            };
            Ok((variable, ty))
        };
        self.0.iter().map(settle).collect()
    }
}

/// Why a method does not take arguments.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// It takes another number of them.
    Count {
        /// How many there are.
        found: usize,
        /// How many it takes, or, of a variadic one, at least takes.
        wanted: usize,
        /// Whether it takes more.
        variadic: bool,
    },
    /// This argument does not fit; the first that does not.
    Argument {
        /// Which, from 0.
        index: usize,
        /// Its type.
        found: Type,
        /// The parameter's type.
        wanted: Type,
        /// The first variable in that which an earlier argument determined, and what it stands for.
        bound: Option<(Type, Bound)>,
    },
    /// No argument tells what this variable stands for.
    Undetermined(Type),
}

impl Rejection {
    /// In words.
    pub fn describe(&self, types: &Types) -> String {
        match *self {
            Rejection::Count { found, wanted, variadic } => {
                let least = if variadic { "at least " } else { "" };
                let plural = if wanted == 1 { "" } else { "s" };
                format!("takes {least}{wanted} argument{plural}, found {found}")
            }
            Rejection::Argument { index, found, wanted, bound } => {
                let (found, wanted) = (types.display(found), types.display(wanted));
                let bound = bound.map_or(String::new(), |(variable, bound)| {
                    let variable = types.display(variable);
                    let is_whole = variable.to_string() == wanted.to_string();
                    let lead = if is_whole { "which".into() } else { format!("where {variable}") };
                    format!(", {lead} is {}", bound.describe(types))
                });
                format!("argument {} is {found}, expected {wanted}{bound}", index + 1)
            }
            Rejection::Undetermined(variable) => {
                format!("no argument tells what {} is", types.display(variable))
            }
        }
    }
}

/// Whether a method takes these arguments.
///
/// # Errors
/// The first reason why not.
pub fn accept(program: &Program, method: &MethodData, arguments: &[Type]) -> Result<Bindings, Rejection> {
    let types = &program.types;
    accept_in(types, method, arguments)
}

/// As [`accept`], with a table of types that began as a copy of the program's.
///
/// # Errors
/// The first reason why not.
pub fn accept_in(types: &Types, method: &MethodData, arguments: &[Type]) -> Result<Bindings, Rejection> {
    let params = &method.signature.params;
    let (fixed, rest) = split(types, params);
    let variadic = rest.is_some();
    if arguments.len() < fixed.len() || (!variadic && arguments.len() > fixed.len()) {
        return Err(Rejection::Count { found: arguments.len(), wanted: fixed.len(), variadic });
    }
    let mut matcher = Matcher { types, method, subject: None, bindings: Bindings::default() };
    for (index, &found) in arguments.iter().enumerate() {
        let Some(wanted) = fixed.get(index).copied().or(rest) else { break };
        if !matcher.fits(wanted, found) {
            let old = accepted_before(types, method, arguments, index, wanted);
            return Err(Rejection::Argument { index, found, wanted, bound: old });
        }
    }
    let unbound = |variable: &&marquetry_ir::program::Variable| matcher.bindings.get(variable.ty).is_none();
    match method.variables.iter().find(unbound) {
        Some(variable) => Err(Rejection::Undetermined(variable.ty)),
        None => Ok(matcher.bindings),
    }
}

/// The first variable in a parameter's type that the arguments before one determine.
fn accepted_before(
    types: &Types,
    method: &MethodData,
    arguments: &[Type],
    index: usize,
    wanted: Type,
) -> Option<(Type, Bound)> {
    let (fixed, rest) = split(types, &method.signature.params);
    let mut matcher = Matcher { types, method, subject: None, bindings: Bindings::default() };
    for (n, &found) in arguments.iter().take(index).enumerate() {
        matcher.fits(fixed.get(n).copied().or(rest)?, found);
    }
    let mut known = None;
    types.each_variable(wanted, &mut |variable| {
        known = known.or_else(|| Some((variable, matcher.bindings.get(variable)?)));
    });
    known
}

/// Whether `wide` takes everything that `narrow` takes.
pub fn subsumes(types: &Types, wide: &MethodData, narrow: &MethodData) -> bool {
    cover(types, wide, narrow).is_some()
}

/// Whether `wide` returns what `narrow` returns, for all that `narrow` takes; none if it does not take all of that.
pub fn returns_the_same(types: &Types, wide: &MethodData, narrow: &MethodData) -> Option<bool> {
    let mut matcher = cover(types, wide, narrow)?;
    let (wide, narrow) = (&wide.signature.results, &narrow.signature.results);
    // The parameters bound all variables, so results fit only if they are equal.
    Some(wide.len() == narrow.len() && wide.iter().zip(narrow).all(|(&a, &b)| matcher.fits(a, b)))
}

/// What the variables of `wide` stand for where it takes what `narrow` takes; none if it does not take all of that.
fn cover<'a>(types: &'a Types, wide: &'a MethodData, narrow: &'a MethodData) -> Option<Matcher<'a>> {
    let (wide_fixed, wide_rest) = split(types, &wide.signature.params);
    let (narrow_fixed, narrow_rest) = split(types, &narrow.signature.params);
    let mut narrow_fixed: SmallVec<[Type; 8]> = SmallVec::from_slice(narrow_fixed);
    // Where only the pack tells what a variable is, there is no call without an argument for it.
    if let Some(first) = narrow_rest
        && narrow.variables.iter().any(|variable| !is_in(types, &narrow_fixed, variable.ty))
    {
        narrow_fixed.push(first);
    }
    if narrow_fixed.len() < wide_fixed.len()
        || (wide_rest.is_none() && (narrow_rest.is_some() || narrow_fixed.len() > wide_fixed.len()))
    {
        return None;
    }
    let mut matcher = Matcher { types, method: wide, subject: Some(narrow), bindings: Bindings::default() };
    for (index, &narrow) in narrow_fixed.iter().enumerate() {
        let wide = wide_fixed.get(index).copied().or(wide_rest)?;
        if !matcher.fits(wide, narrow) {
            return None;
        }
    }
    // `wide` needs an argument more to know its variables.
    if wide.variables.iter().any(|variable| matcher.bindings.get(variable.ty).is_none()) {
        return None;
    }
    // Twice: what stands for any number of arguments stands for two.
    let rests = wide_rest.zip(narrow_rest);
    let fits = rests.is_none_or(|(wide, narrow)| matcher.fits(wide, narrow) && matcher.fits(wide, narrow));
    fits.then_some(matcher)
}

/// Whether parameters mention a variable.
fn is_in(types: &Types, params: &[Type], variable: Type) -> bool {
    let mut found = false;
    params.iter().for_each(|&ty| types.each_variable(ty, &mut |other| found |= other == variable));
    found
}

/// Parameters but the pack, and the type of its elements.
fn split<'t>(types: &Types, params: &'t [Type]) -> (&'t [Type], Option<Type>) {
    match params.split_last() {
        Some((&last, fixed)) if types.as_pack(last).is_some() => (fixed, types.as_pack(last)),
        _ => (params, None),
    }
}

struct Matcher<'a> {
    types: &'a Types,
    method: &'a MethodData,
    /// Where the subjects' variables come from, if they are no arguments.
    subject: Option<&'a MethodData>,
    bindings: Bindings,
}

impl Matcher<'_> {
    /// Whether a subject is among what a pattern stands for. Nesting of patterns is limited where they are made.
    fn fits(&mut self, pattern: Type, subject: Type) -> bool {
        let Some(generic) = self.types.generic(pattern) else { return pattern == subject };
        let subject_generic = self.types.generic(subject);
        match generic {
            Generic::Variable(_) => self.bind(pattern, self.bound_of(subject)),
            Generic::Abstract(bound) => self.is_within(subject, *bound),
            Generic::Vector { lane, lanes } => match (subject.kind(), subject_generic) {
                (TypeKind::Vector(found, count), _) => {
                    self.fits(*lane, Type::scalar(found))
                        && self.counts(*lanes, Bound::Count(u64::from(count)))
                }
                (_, Some(&Generic::Vector { lane: found, lanes: count })) => {
                    self.fits(*lane, found) && self.counts(*lanes, self.bound_of(count))
                }
                _ => false,
            },
            Generic::Array { element, length } => match (self.types.aggregate(subject), subject_generic) {
                (Some(&Aggregate::Array { element: found, length: count }), _) => {
                    self.fits(*element, found) && self.counts(*length, Bound::Count(count))
                }
                (_, Some(&Generic::Array { element: found, length: count })) => {
                    self.fits(*element, found) && self.counts(*length, self.bound_of(count))
                }
                _ => false,
            },
            Generic::Pointer(space) => match (subject.space(), subject_generic) {
                (Some(found), _) => self.bind(*space, Bound::Space(found)),
                (_, Some(&Generic::Pointer(found))) => self.bind(*space, Bound::Type(found)),
                _ => false,
            },
            Generic::Struct { template, args } => match self.types.applied(subject) {
                Some((found, subjects)) if found == *template && subjects.len() == args.len() => {
                    args.iter().zip(subjects).all(|(&arg, &subject)| self.fits(arg, subject))
                }
                _ => false,
            },
            Generic::TypeOf(inner) => match (self.types.as_singleton(subject), subject_generic) {
                (Some(&Singleton::Type(found)), _) | (_, Some(&Generic::TypeOf(found))) => {
                    self.fits(*inner, found)
                }
                _ => false,
            },
            Generic::ConstOf(number) => match (self.types.as_constant(subject), subject_generic) {
                (Some(_), _) => self.counts(*number, self.bound_of(subject)),
                (_, Some(&Generic::ConstOf(found))) => self.counts(*number, self.bound_of(found)),
                _ => false,
            },
            Generic::Pack(_) => false,
        }
    }

    /// A length is the same number in whatever way it is given.
    fn bound_of(&self, subject: Type) -> Bound {
        match (self.types.as_constant(subject), self.types.as_singleton(subject)) {
            (Some((marquetry_ir::types::Scalar::I64, bits)), _) => {
                u64::try_from(bits).map_or(Bound::Type(subject), Bound::Count)
            }
            (_, Some(Singleton::Space(space))) => Bound::Space(*space),
            _ => Bound::Type(subject),
        }
    }

    fn counts(&mut self, pattern: Type, found: Bound) -> bool {
        if pattern.is_generic() { self.bind(pattern, found) } else { self.bound_of(pattern) == found }
    }

    fn bind(&mut self, variable: Type, found: Bound) -> bool {
        let bound = self.method.bound(self.types, variable);
        let within = match found {
            Bound::Type(ty) => self.is_within(ty, bound),
            Bound::Count(_) | Bound::Space(_) => bound == Abstract::ANY,
        };
        match self.bindings.get(variable) {
            Some(old) => within && old == found && !self.is_anonymous(found),
            None => {
                self.bindings.0.push((variable, found));
                within
            }
        }
    }

    /// Whether the subject may be another type each time.
    fn is_anonymous(&self, bound: Bound) -> bool {
        let Bound::Type(ty) = bound else { return false };
        let mut anonymous = false;
        self.types.each_variable(ty, &mut |ty| {
            anonymous |= matches!(self.types.generic(ty), Some(Generic::Abstract(_)));
        });
        anonymous
    }

    fn is_within(&self, subject: Type, bound: Abstract) -> bool {
        if bound == Abstract::ANY {
            return true;
        }
        match (self.types.generic(subject), self.subject) {
            (Some(Generic::Variable(_)), Some(method)) => {
                self.types.is_below(method.bound(self.types, subject), bound)
            }
            _ => self.types.is_a(subject, bound),
        }
    }
}
