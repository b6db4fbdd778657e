cdef class Sums:
    cdef public long long prompt, completion, total, cache_read, cache_write, reasoning
    cdef public long long calls, unpriced, prompt_calls, completion_calls, total_calls
    cdef public object prompt_cost, completion_cost, total_cost  # int: may outgrow 64 bits


cdef class ModelSums:
    cdef public long long total, prompt, completion, total_calls, prompt_calls, completion_calls
    cdef public long long total_cost_calls, prompt_cost_calls, completion_cost_calls
    cdef public object total_cost, prompt_cost, completion_cost  # int: may outgrow 64 bits
