"""A run store in memory, for property tests that make thousands of runs; logs are segments."""

import hashlib
import threading

from ostiary.plan.runs import SegmentLog, Stored, checked_name


class MemoryStore:
    def __init__(self):
        self.objects = {}
        self.lock = threading.RLock()

    def put_new(self, name, data):
        with self.lock:
            return self.objects.setdefault(checked_name(name), data) is data

    def put(self, name, data):
        self.objects[checked_name(name)] = data

    def get(self, name):
        data = self.objects.get(checked_name(name))
        return None if data is None else Stored(data, hashlib.sha256(data).hexdigest())

    def names(self, prefix):
        with self.lock:
            return tuple(sorted(name for name in self.objects if name.startswith(prefix)))

    def delete(self, name):
        self.objects.pop(checked_name(name), None)

    def swap(self, name, expected, data):
        with self.lock:
            kept = self.get(name)
            if (kept.version if kept else None) != expected:
                return None
            self.put(name, data)
            return self.get(name).version

    def log(self, name):
        return SegmentLog(self, name)
