"""Redis scripts of the conversation store. Each is safe to repeat with the same token: an answer may get lost.

The waiters' set holds the token of everybody who was refused, scored by the moment (ms) until which to believe that
they still wait; whoever unlocks pushes one wake token, which Redis hands to the one who has blocked for longest.
"""

from __future__ import annotations

from storage.redis_scripts import Script

_WAKE_ONE = """
local function wake_one(waiters, wake)
  if redis.call('EXISTS', waiters) == 0 then return end
  local time = redis.call('TIME')
  redis.call('ZREMRANGEBYSCORE', waiters, '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
  if redis.call('ZCARD', waiters) > 0 and redis.call('LLEN', wake) == 0 then
    redis.call('RPUSH', wake, '1')
    redis.call('PEXPIRE', wake, 10000)
  end
end
"""

# KEYS lock, record, waiters; ARGV token, lock ttl (ms), 1 if this caller was refused before.
# Returns {0, ms until the lock ends} or {1, now (ms), step, data, seen, reply, pace}.
LOCK_AND_LOAD = Script("""
local holder = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if holder and holder ~= ARGV[1] then
  redis.call('ZADD', KEYS[3], now + 10000, ARGV[1])
  redis.call('PEXPIRE', KEYS[3], 10000)
  return {0, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] == '1' then redis.call('ZREM', KEYS[3], ARGV[1]) end
local record = redis.call('HMGET', KEYS[2], 'step', 'data', 'seen', 'reply', 'pace', 'stale')
if record[6] then
  redis.call('HDEL', KEYS[2], 'step', 'data', 'stale')
  record[1] = false
  record[2] = false
end
return {1, now, record[1], record[2], record[3], record[4], record[5]}
""")

# KEYS lock, record, waiters, wake; ARGV token, record ttl (s), data or '' to leave step and data as they
# are, seen, step or '', reply or '', pace.
# Returns 1 when saved, 0 when the lock is no longer ours. 'by' tells a repeated call from a lost lock.
# 'stale' is left alone: what was set while the handler ran must count at the next load.
SAVE_AND_UNLOCK = Script(
    _WAKE_ONE
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  if redis.call('HGET', KEYS[2], 'by') == ARGV[1] then return 1 end
  return 0
end
redis.call('HSET', KEYS[2], 'seen', ARGV[4], 'by', ARGV[1], 'pace', ARGV[7])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'data', ARGV[3])
  if ARGV[5] == '' then redis.call('HDEL', KEYS[2], 'step') else redis.call('HSET', KEYS[2], 'step', ARGV[5]) end
end
if ARGV[6] == '' then redis.call('HDEL', KEYS[2], 'reply') else redis.call('HSET', KEYS[2], 'reply', ARGV[6]) end
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
wake_one(KEYS[3], KEYS[4])
return 1
"""
)

# KEYS lock, waiters, wake; ARGV token.
UNLOCK = Script(
    _WAKE_ONE
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
wake_one(KEYS[2], KEYS[3])
return 1
"""
)

# KEYS lock; ARGV token, ttl (ms).
RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

# KEYS lock, record; ARGV record ttl (s). A person without a record is marked only while a first update is handled.
FORGET = Script("""
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'stale', '1')
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
""")
