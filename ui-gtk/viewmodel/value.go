package viewmodel

// Value is something that is shown and changes as a whole.
type Value[T any] struct {
	now       T
	observers observers[func(T)]
}

// Get gives what it is now.
func (v *Value[T]) Get() T { return v.now }

// Observe calls f with what it is now, and again after each change until stop is
// called.
func (v *Value[T]) Observe(f func(T)) (stop func()) {
	stop = v.observers.add(f)
	f(v.now)
	return stop
}

// set changes it and tells the observers.
func (v *Value[T]) set(now T) {
	v.now = now
	v.observers.each(func(f func(T)) { f(now) })
}

// keep changes it to what its observers have shown already.
func (v *Value[T]) keep(now T) { v.now = now }

// Signal tells of something that happens and is not kept.
type Signal[T any] struct{ observers observers[func(T)] }

// Observe calls f each time it happens, until stop is called.
func (s *Signal[T]) Observe(f func(T)) (stop func()) { return s.observers.add(f) }

func (s *Signal[T]) emit(x T) { s.observers.each(func(f func(T)) { f(x) }) }

// observers are functions in the order in which they came. One may stop itself
// or another while they are called.
type observers[F any] struct{ list []*observer[F] }

type observer[F any] struct {
	f       F
	stopped bool
}

func (o *observers[F]) add(f F) (stop func()) {
	x := &observer[F]{f: f}
	o.list = append(o.list[:len(o.list):len(o.list)], x) // those who are being called keep their list
	return func() {
		if x.stopped {
			return
		}
		x.stopped = true
		var left []*observer[F]
		for _, other := range o.list {
			if other != x {
				left = append(left, other)
			}
		}
		o.list = left
	}
}

func (o *observers[F]) each(call func(F)) {
	for _, x := range o.list {
		if !x.stopped {
			call(x.f)
		}
	}
}
