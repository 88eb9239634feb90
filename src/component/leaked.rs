//! Values that are never dropped, on purpose.
//!
//! An instance of the component ends with its request, and everything that the host keeps for it ends too. So the shell
//! gives nothing back, for the sake of speed: dropping a resource is a function of the host, and before each request
//! the host prepares every function that a component imports, called or not
//! (`docs/adr/0010-fewer-functions-of-the-host.md`). A kind of resource that is never dropped means one import fewer.
//! For the same reason the shell uses one function where it could use two, and memory is not freed either.
//!
//! Two things are still dropped: a stream, because its body cannot end before it, and resources that one invocation may
//! open in large numbers, because Spin limits how many are open.

use std::mem::ManuallyDrop;
use std::ops::Deref;

/// A value that is used by reference and never dropped.
pub(super) struct Leaked<T>(ManuallyDrop<T>);

impl<T> Leaked<T> {
    /// Takes a value that will not be dropped.
    pub(super) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Leaked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
