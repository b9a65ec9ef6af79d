//! The methods of one generic function, found by what they take.
//!
//! Most functions have one method in one table: such a one costs no hash map.

use crate::entity::{Method, Table};
use crate::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// The methods of one generic function.
#[derive(Clone, Debug, Default)]
pub(super) struct Function {
    /// All that ever were and are not forgotten.
    pub(super) all: SmallVec<[Method; 2]>,
    /// Those that are.
    pub(super) live: SmallVec<[Method; 2]>,
    tables: Tables,
}

/// By table; the first without a list around it.
#[derive(Clone, Debug, Default)]
struct Tables {
    first: Option<(Table, Box<InTable>)>,
    others: Option<Box<FxHashMap<Table, InTable>>>,
}

/// The methods of one generic function in one table, ended ones that are not forgotten included.
#[derive(Clone, Debug, Default)]
struct InTable {
    by_signature: BySignature,
    /// Those with variables.
    generic: Option<Box<Candidates>>,
}

impl InTable {
    fn forget(&mut self, gone: &FxHashSet<Method>) {
        match &mut self.by_signature {
            BySignature::None => {}
            BySignature::One(_, methods) => methods.retain(|method| !gone.contains(method)),
            BySignature::Many(map) => map.retain(|_, methods| {
                methods.retain(|method| !gone.contains(method));
                !methods.is_empty()
            }),
        }
        if let Some(generic) = &mut self.generic {
            generic.variadic.retain(|candidate| !gone.contains(&candidate.method));
            generic.fixed.retain(|_, candidates| {
                candidates.retain(|candidate| !gone.contains(&candidate.method));
                !candidates.is_empty()
            });
        }
    }
}

type Signatures = FxHashMap<Box<[u32]>, SmallVec<[Method; 1]>>;

/// By what they take, in the canonical form; without variables, that is the words of the types.
#[derive(Clone, Debug, Default)]
enum BySignature {
    #[default]
    None,
    One(Box<[u32]>, SmallVec<[Method; 1]>),
    Many(Box<Signatures>),
}

/// Methods with variables.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// By the number of parameters.
    fixed: FxHashMap<usize, Vec<Candidate>>,
    /// Those that take any number.
    variadic: Vec<Candidate>,
}

/// A method with variables and what its first parameters are where they have none, to turn most away at once.
#[derive(Clone, Debug)]
struct Candidate {
    method: Method,
    heads: [Type; 4],
}

/// How many arguments a method takes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Exactly these types.
    Types,
    /// So many, by variables.
    Variables(usize),
    /// Any number.
    Any,
}

impl BySignature {
    fn get(&self, key: &[u32]) -> &[Method] {
        match self {
            BySignature::One(one, methods) if **one == *key => methods,
            BySignature::None | BySignature::One(..) => &[],
            BySignature::Many(map) => map.get(key).map_or(&[], |methods| methods),
        }
    }

    fn push(&mut self, key: Box<[u32]>, method: Method) {
        match self {
            BySignature::None => *self = BySignature::One(key, SmallVec::from_elem(method, 1)),
            BySignature::One(one, methods) if *one == key => methods.push(method),
            BySignature::One(one, methods) => {
                let mut map = Signatures::default();
                map.insert(std::mem::take(one), std::mem::take(methods));
                map.insert(key, SmallVec::from_elem(method, 1));
                *self = BySignature::Many(Box::new(map));
            }
            BySignature::Many(map) => map.entry(key).or_default().push(method),
        }
    }
}

impl Candidate {
    fn new(method: Method, params: &[Type]) -> Self {
        let head = |n: usize| params.get(n).copied().filter(|ty| !ty.is_generic()).unwrap_or(Type::UNKNOWN);
        Candidate { method, heads: [head(0), head(1), head(2), head(3)] }
    }

    /// Whether it may take these.
    fn may_take(&self, arguments: &[Type]) -> bool {
        self.heads.iter().zip(arguments).all(|(&head, &ty)| head == Type::UNKNOWN || head == ty)
    }
}

impl Tables {
    fn get(&self, table: Table) -> Option<&InTable> {
        match &self.first {
            Some((first, methods)) if *first == table => Some(methods),
            _ => self.others.as_ref()?.get(&table),
        }
    }

    fn get_mut(&mut self, table: Table) -> &mut InTable {
        let (first, methods) = self.first.get_or_insert_with(|| (table, Box::default()));
        if *first == table { methods } else { self.others.get_or_insert_default().entry(table).or_default() }
    }
}

impl Function {
    /// Takes a method in.
    pub(super) fn push(
        &mut self,
        table: Table,
        key: Box<[u32]>,
        method: Method,
        params: &[Type],
        takes: Takes,
    ) {
        self.all.push(method);
        self.live.push(method);
        let methods = self.tables.get_mut(table);
        methods.by_signature.push(key, method);
        match takes {
            Takes::Types => {}
            Takes::Variables(count) => {
                let generic = methods.generic.get_or_insert_default();
                generic.fixed.entry(count).or_default().push(Candidate::new(method, params));
            }
            Takes::Any => {
                methods.generic.get_or_insert_default().variadic.push(Candidate::new(method, params));
            }
        }
    }

    /// Drops methods that ended.
    pub(super) fn forget(&mut self, gone: &[Method]) {
        let gone: FxHashSet<Method> = gone.iter().copied().collect();
        self.all.retain(|method| !gone.contains(method));
        if let Some((_, methods)) = &mut self.tables.first {
            methods.forget(&gone);
        }
        let others = self.tables.others.iter_mut().flat_map(|others| others.values_mut());
        others.for_each(|methods| methods.forget(&gone));
    }

    /// The methods of a table that take this, in the canonical form, the last one last.
    pub(super) fn taking(&self, table: Table, key: &[u32]) -> &[Method] {
        self.tables.get(table).map_or(&[], |methods| methods.by_signature.get(key))
    }
}

/// The methods of one generic function, of all tables and worlds.
#[derive(Copy, Clone, Debug)]
pub struct Overloads<'a>(pub(super) &'a Function);

impl<'a> Overloads<'a> {
    /// The methods of a table that take exactly these types and have no variables, ended ones included.
    pub fn taking(self, table: Table, arguments: &[Type]) -> &'a [Method] {
        let key: SmallVec<[u32; 16]> = arguments.iter().map(|ty| ty.word()).collect();
        self.0.taking(table, &key)
    }

    /// The methods of a table with type variables that may take these types, ended ones included.
    pub fn generic(self, table: Table, arguments: &[Type]) -> impl Iterator<Item = Method> {
        let candidates = self.0.tables.get(table).and_then(|methods| methods.generic.as_deref());
        let (fixed, variadic) = match candidates {
            Some(candidates) => (candidates.fixed.get(&arguments.len()), &candidates.variadic[..]),
            None => (None, &[][..]),
        };
        let all = fixed.map_or(&[][..], |list| list).iter().chain(variadic);
        all.filter(|candidate| candidate.may_take(arguments)).map(|candidate| candidate.method)
    }
}
