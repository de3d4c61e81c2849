//! Structs of sums: what several workers count, somebody adds up, and somebody prints. The
//! invariant: the declaration of a struct says all of it, so a new counter is added, subtracted and
//! printed without another line. (Rejected: a derive macro, which is a crate of its own for one
//! page; a map from names to numbers, which costs each packet a look-up.)

/// Numbers that are added up field by field. [`counters!`](crate::counters!) declares structs of
/// them.
pub trait Counters: Clone {
    /// Adds what another worker counted.
    fn add(&mut self, more: &Self);

    /// What was counted since an earlier state of the same counters.
    #[must_use]
    fn since(&self, before: &Self) -> Self;

    /// Visits each number, with its name behind that of its struct: `gaps.pool_full`.
    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64));

    /// All numbers by name, in the order of the declaration.
    fn list(&self) -> Vec<(String, u64)> {
        let mut list = Vec::new();
        self.clone().visit("", &mut |name, value| list.push((name.to_owned(), *value)));
        list
    }
}

/// The name of a field behind that of its struct.
#[doc(hidden)]
pub fn join(name: &str, field: impl std::fmt::Display) -> String {
    if name.is_empty() { field.to_string() } else { format!("{name}.{field}") }
}

/// Declares a struct of sums. A field that says `as kept` is no sum: a struct keeps its own. Of a
/// field that says `as most`, the sum is the larger one.
///
/// ```
/// use mrule_engine::counters::Counters;
///
/// mrule_engine::counters! {
///     /// What came by a door.
///     #[derive(Debug, Clone, Default, PartialEq)]
///     pub struct Door {
///         name: String as kept,
///         guests: u64,
///         queue: u64 as most,
///     }
/// }
///
/// let mut front = Door { name: "front".into(), guests: 3, queue: 2 };
/// front.add(&Door { name: "back".into(), guests: 4, queue: 1 });
/// assert_eq!(front.name, "front");
/// assert_eq!(front.list(), [("guests".to_owned(), 7), ("queue".to_owned(), 2)]);
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$about:meta])*
        $seen:vis struct $name:ident {
            $($(#[$doc:meta])* $field_seen:vis $field:ident: $ty:ty $(as $how:ident)?,)*
        }
    ) => {
        $(#[$about])*
        $seen struct $name {
            $($(#[$doc])* $field_seen $field: $ty,)*
        }

        impl $crate::counters::Counters for $name {
            fn add(&mut self, more: &Self) {
                $($crate::counters!(@add self.$field, more.$field $(, $how)?);)*
            }

            fn since(&self, before: &Self) -> Self {
                Self { $($field: $crate::counters!(@since self.$field, before.$field $(, $how)?),)* }
            }

            fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
                $($crate::counters!(@visit self.$field, name, stringify!($field), f $(, $how)?);)*
            }
        }
    };
    (@add $sum:expr, $more:expr) => { $crate::counters::Counters::add(&mut $sum, &$more) };
    (@add $sum:expr, $more:expr, kept) => {};
    (@add $sum:expr, $more:expr, most) => { $sum = $sum.max($more) };
    (@since $now:expr, $before:expr) => { $crate::counters::Counters::since(&$now, &$before) };
    (@since $now:expr, $before:expr, kept) => { $now.clone() };
    (@since $now:expr, $before:expr, most) => { $now };
    (@visit $value:expr, $name:expr, $field:expr, $f:expr) => {
        $crate::counters::Counters::visit(&mut $value, &$crate::counters::join($name, $field), $f)
    };
    (@visit $value:expr, $name:expr, $field:expr, $f:expr, kept) => {};
    (@visit $value:expr, $name:expr, $field:expr, $f:expr, most) => {
        $crate::counters!(@visit $value, $name, $field, $f)
    };
}

impl Counters for u64 {
    fn add(&mut self, more: &u64) {
        *self += more;
    }

    /// Counters that began anew have counted nothing since.
    fn since(&self, before: &u64) -> u64 {
        self.saturating_sub(*before)
    }

    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
        f(name, self);
    }
}

impl Counters for usize {
    fn add(&mut self, more: &usize) {
        *self += more;
    }

    fn since(&self, before: &usize) -> usize {
        self.saturating_sub(*before)
    }

    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
        let mut value = *self as u64;
        f(name, &mut value);
        *self = value as usize;
    }
}

impl<T: Counters, const N: usize> Counters for [T; N] {
    fn add(&mut self, more: &[T; N]) {
        self.iter_mut().zip(more).for_each(|(sum, more)| sum.add(more));
    }

    fn since(&self, before: &[T; N]) -> [T; N] {
        let mut before = before.iter();
        self.each_ref().map(|now| before.next().map_or_else(|| now.clone(), |before| now.since(before)))
    }

    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
        self.iter_mut().enumerate().for_each(|(at, value)| value.visit(&join(name, at), f));
    }
}

/// By place: both are of the same program.
impl<T: Counters> Counters for Vec<T> {
    fn add(&mut self, more: &Vec<T>) {
        self.iter_mut().zip(more).for_each(|(sum, more)| sum.add(more));
    }

    fn since(&self, before: &Vec<T>) -> Vec<T> {
        let since = |(at, now): (usize, &T)| before.get(at).map_or_else(|| now.clone(), |b| now.since(b));
        self.iter().enumerate().map(since).collect()
    }

    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
        self.iter_mut().enumerate().for_each(|(at, value)| value.visit(&join(name, at), f));
    }
}

/// None: nobody counts it.
impl<T: Counters> Counters for Option<T> {
    fn add(&mut self, more: &Option<T>) {
        match (self, more) {
            (Some(sum), Some(more)) => sum.add(more),
            (sum @ None, more) => sum.clone_from(more),
            (Some(_), None) => {}
        }
    }

    fn since(&self, before: &Option<T>) -> Option<T> {
        match (self, before) {
            (Some(now), Some(before)) => Some(now.since(before)),
            (now, _) => now.clone(),
        }
    }

    fn visit(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut u64)) {
        if let Some(value) = self {
            value.visit(name, f);
        }
    }
}
