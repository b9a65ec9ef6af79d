//! Memory: slots and globals, and accesses that stay inside them and read only what was written.

use super::body::BodyWriter;
use super::types::{self, INTS, Ty};
use marquetry_ir::types::{Scalar, Type};
use std::rc::Rc;

/// A place in memory that holds values of one type, all of them written.
#[derive(Clone, Debug)]
pub struct Place {
    /// The operand that is its address, or the global that it is.
    pub name: String,
    /// The address space.
    pub space: &'static str,
    /// Whether `name` is a global, whose address has to be taken.
    pub is_global: bool,
    /// Whether it may be written.
    pub is_mutable: bool,
    /// What it holds.
    pub ty: Ty,
    /// Whether integers of all sizes lie in it at any place: an array of `i8`.
    pub is_raw: bool,
    /// A global that holds its address, too.
    pub holder: Option<Holder>,
}

/// A global whose two slots hold the same address.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Its space.
    pub space: &'static str,
    /// The space of the pointers in it.
    pub pointer: &'static str,
}

/// Bytes of the raw places.
const RAW_BYTES: u64 = 64;

/// The type of raw places.
pub fn raw_type() -> Ty {
    Ty::Array(Rc::new(Ty::Plain(Type::I8)), RAW_BYTES)
}

/// A type that a place may hold.
pub fn place_type(writer: &mut super::choices::Choices, aggregates: &[Ty]) -> Ty {
    match writer.below(5) {
        0 | 1 => Ty::Plain(types::plain(writer)),
        2 | 3 => {
            let length = [1, 2, 4, 8][writer.below(4)];
            Ty::Array(Rc::new(Ty::Plain(types::plain(writer))), length)
        }
        _ => writer.pick(aggregates).cloned().unwrap_or(Ty::Plain(Type::I64)),
    }
}

impl BodyWriter<'_, '_, '_, '_> {
    /// The generic address of a raw place that may be written.
    pub fn raw_address(&mut self) -> String {
        let raw: Vec<Place> =
            self.places.iter().filter(|place| place.is_raw && place.is_mutable).cloned().collect();
        let place = match self.choices.pick(&raw) {
            Some(place) => place.clone(),
            None => self.raw_slot(),
        };
        let name = match place.is_global {
            true => self.hidden(&format!("address.{} {}", place.space, place.name)),
            false => place.name,
        };
        if place.space == "generic" { name } else { self.hidden(&format!("spacecast.ptr<generic> {name}")) }
    }

    fn raw_slot(&mut self) -> Place {
        let name = self.hidden(&format!("slot.{}", raw_type().text()));
        let byte = self.plain(Type::I8);
        self.line(&format!("memset {name}, {byte}, i64 {RAW_BYTES}"));
        let place = Place {
            name,
            space: "local",
            is_global: false,
            is_mutable: true,
            ty: raw_type(),
            is_raw: true,
            holder: None,
        };
        self.places.push(place.clone());
        place
    }

    /// A place that is one of two others.
    fn either(&mut self) {
        let (a, b) = (self.raw_address(), self.raw_address());
        let condition = self.plain(Type::I1);
        let name = self.hidden(&format!("select {condition}, {a}, {b}"));
        self.places.push(Place {
            name,
            space: "generic",
            is_global: false,
            is_mutable: true,
            ty: raw_type(),
            is_raw: true,
            holder: None,
        });
    }

    /// Makes a slot and fills it.
    pub fn make_slot(&mut self) {
        if self.choices.chance(1, 6) {
            return self.either();
        }
        let is_raw = self.choices.chance(1, 4);
        let ty = if is_raw { raw_type() } else { place_type(self.choices, &self.world.aggregates) };
        let name = self.hidden(&format!("slot.{}", ty.text()));
        let place = Place {
            name: name.clone(),
            space: "local",
            is_global: false,
            is_mutable: true,
            ty,
            is_raw,
            holder: None,
        };
        if is_raw {
            let byte = self.plain(Type::I8);
            self.line(&format!("memset {name}, {byte}, i64 {RAW_BYTES}"));
        } else if self.choices.chance(1, 2) && place.ty.fields() <= 8 && place.ty.fields() > 0 {
            for n in 0..place.ty.fields() {
                let address = self.hidden(&format!("field_address {name}, {}, {n}", place.ty.text()));
                let x = self.operand(&place.ty.field(n));
                self.line(&format!("store {address}, {x}"));
            }
        } else {
            let x = self.operand(&place.ty);
            self.line(&format!("store {name}, {x}"));
        }
        self.places.push(place);
    }

    /// The address of a global, and its space: its own, or what another global holds.
    fn global_address(&mut self, place: &Place) -> (String, &'static str) {
        match place.holder.clone() {
            Some(Holder { name, space, pointer }) if self.choices.chance(1, 2) => {
                (self.one_of_two(space, &name, pointer), pointer)
            }
            _ => (self.hidden(&format!("address.{} {}", place.space, place.name)), place.space),
        }
    }

    /// A pointer from a global that holds it twice: from a place that is known, or that is not.
    pub fn one_of_two(&mut self, space: &str, name: &str, pointer: &str) -> String {
        let base = self.hidden(&format!("address.{space} {name}"));
        let index = match self.choices.below(3) {
            0 => "i64 0".to_owned(),
            1 => "i64 1".to_owned(),
            _ => {
                let number = self.plain(Type::I64);
                self.hidden(&format!("and {number}, i64 1"))
            }
        };
        let place = self.hidden(&format!("index {base}, {index}, ptr<{pointer}>"));
        let volatile = if self.choices.chance(1, 12) { " volatile" } else { "" };
        self.hidden(&format!("load.ptr<{pointer}> {place}{volatile}"))
    }

    /// An access to some place.
    pub fn access(&mut self) {
        let Some(place) = self.choices.pick(&self.places).cloned() else { return self.make_slot() };
        let (mut base, space) = match place.is_global {
            true => self.global_address(&place),
            false => (place.name.clone(), place.space),
        };
        if space != "generic" && self.choices.chance(1, 10) {
            base = self.hidden(&format!("spacecast.ptr<generic> {base}"));
        }
        if place.is_raw {
            return self.access_raw(&base, place.is_mutable);
        }
        // Down to a part, perhaps.
        let mut ty = place.ty.clone();
        while ty.fields() > 0 && !self.choices.chance(1, 6) {
            let element = ty.field(0);
            let is_array = matches!(ty, Ty::Array(..));
            if is_array && (ty.fields() as u64).is_power_of_two() && self.choices.chance(2, 3) {
                let index_type = *self.choices.pick(&INTS).unwrap_or(&Scalar::I32);
                let index = self.plain(Type::scalar(index_type));
                let mask = ty.fields() - 1;
                let index = self.hidden(&format!("and {index}, {} {mask}", index_type.name()));
                base = self.hidden(&format!("index {base}, {index}, {}", element.text()));
                ty = element;
            } else {
                let n = self.choices.below(ty.fields());
                base = self.hidden(&format!("field_address {base}, {}, {n}", ty.text()));
                ty = ty.field(n);
            }
        }
        let volatile = if self.choices.chance(1, 12) { " volatile" } else { "" };
        let atomic = matches!(ty.plain(), Some(Type::I32 | Type::I64 | Type::F32 | Type::F64));
        if atomic && place.is_global && place.is_mutable && self.choices.chance(1, 3) {
            return self.atomic(&base, ty.plain().unwrap_or(Type::I32));
        }
        if place.is_mutable && self.choices.chance(1, 2) {
            let x = self.operand(&ty);
            self.line(&format!("store {base}, {x}{volatile}"));
        } else {
            self.value(ty.clone(), &format!("load.{} {base}{volatile}", ty.text()));
        }
    }

    fn access_raw(&mut self, base: &str, is_mutable: bool) {
        let lane = *self.choices.pick(&INTS).unwrap_or(&Scalar::I32);
        let ty = types::shaped(self.choices, lane);
        let bytes = u64::from(ty.bits().unwrap_or(8) / 8);
        if bytes > RAW_BYTES {
            return;
        }
        let offset = match self.choices.below(3) {
            0 => format!("i64 {}", self.choices.below((RAW_BYTES - bytes + 1) as usize)),
            1 => format!("i64 {}", self.choices.below((RAW_BYTES / bytes) as usize) as u64 * bytes),
            _ => {
                let offset = self.plain(Type::I64);
                let room = RAW_BYTES - bytes;
                let mask = if room == 0 { 0 } else { room.next_power_of_two() / 2 };
                self.hidden(&format!("and {offset}, i64 {}", mask.max(1) - 1))
            }
        };
        let address = self.hidden(&format!("ptr_add {base}, {offset}"));
        match self.choices.below(8) {
            0 if is_mutable => {
                let byte = self.plain(Type::I8);
                self.line(&format!("memset {address}, {byte}, i64 {bytes}"));
            }
            1 if is_mutable => {
                // Two copies within one place: the halves do not overlap.
                let count = self.choices.below(RAW_BYTES as usize / 2 + 1);
                let high = self.hidden(&format!("ptr_add {base}, i64 {}", RAW_BYTES / 2));
                let (to, from) = if self.choices.chance(1, 2) { (base, &*high) } else { (&*high, base) };
                self.line(&format!("memcpy {to}, {from}, i64 {count}"));
            }
            2..=4 if is_mutable => {
                let x = self.plain(ty);
                self.line(&format!("store {address}, {x} align 1"));
            }
            // Floats may be read from any bytes, but not written: their NaNs would show.
            5 => {
                let lane = match lane.bits() {
                    16 => Scalar::BF16,
                    32 => Scalar::F32,
                    64 => Scalar::F64,
                    _ => lane,
                };
                let ty = ty.with_lane(lane);
                self.value(Ty::Plain(ty), &format!("load.{ty} {address} align 1"));
            }
            _ => {
                self.value(Ty::Plain(ty), &format!("load.{ty} {address} align 1"));
            }
        }
    }

    fn atomic(&mut self, address: &str, ty: Type) {
        const INT: [&str; 10] = [
            "rmw_add",
            "rmw_exchange",
            "rmw_sub",
            "rmw_and",
            "rmw_or",
            "rmw_xor",
            "rmw_min.s",
            "rmw_min.u",
            "rmw_max.s",
            "rmw_max.u",
        ];
        const FLOAT: [&str; 4] = ["rmw_add", "rmw_exchange", "rmw_min", "rmw_max"];
        let order = ["relaxed", "acq_rel", "seq_cst"][self.choices.below(3)];
        let x = self.plain(ty);
        match self.choices.below(6) {
            0 => {
                self.value(Ty::Plain(ty), &format!("atomic_load.{ty} {address} relaxed device"));
            }
            1 => self.line(&format!("atomic_store {address}, {x} relaxed device")),
            2 if ty.is_int() => {
                let y = self.plain(ty);
                let (old, done) = (self.fresh("v"), self.fresh("v"));
                self.line(&format!("{old}, {done} = cmpxchg {address}, {x}, {y} {order} device"));
                self.scope.push((old, Ty::Plain(ty)));
                self.scope.push((done, Ty::Plain(Type::I1)));
            }
            _ => {
                let ops = if ty.is_int() { &INT[..] } else { &FLOAT[..] };
                let op = self.choices.pick(ops).copied().unwrap_or("rmw_add");
                self.value(Ty::Plain(ty), &format!("{op} {address}, {x} {order} device"));
            }
        }
    }
}
