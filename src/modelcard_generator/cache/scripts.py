"""What Redis does in one step on a miss, as Lua; on a hit none of it runs.

A value is stored as `HEADER JSON`. The header is made of the tokens that the version keys held when loading began, each
followed by a dot: a new token makes everything older a miss, also what is being loaded at that moment.
"""

_FUNCTIONS = """
local function text(key)
  local reply = redis.pcall('GET', key)
  if type(reply) == 'string' then return reply end
  return false
end
local function header_of(count)
  local header = ''
  for i = 1, count do
    local token = text(KEYS[i])
    if not token then
      token = ARGV[1]
      redis.call('SET', KEYS[i], token)
    end
    header = header .. token .. '.'
  end
  return header
end
"""

# KEYS: version keys. ARGV: new token, for a key that is missing or holds no string. Returns the header.
HEADER = _FUNCTIONS + "return header_of(#KEYS)"

# KEYS: version keys, value, lock. ARGV: new version token, lock token, lock's life in ms.
# Returns the header, the value if somebody was quicker (else false), and 1 if the lock is the caller's.
# A lock of an older header counts for nothing: its loader's value is a miss.
BEGIN = (
    _FUNCTIONS
    + """
local lock, value = KEYS[#KEYS], KEYS[#KEYS - 1]
local header = header_of(#KEYS - 2)
local stored = text(value)
if stored and string.sub(stored, 1, #header) == header then return {header, stored, 0} end
local held = text(lock)
if held and string.sub(held, 1, #header) == header then return {header, false, 0} end
redis.call('SET', lock, header .. ARGV[2], 'PX', ARGV[3])
return {header, false, 1}
"""
)

# KEYS: version keys, value, lock. ARGV: header, lock token, value without header or '', its life in ms.
# Stores only under the tokens that still hold, and releases only the caller's own lock.
END = """
local lock, value = KEYS[#KEYS], KEYS[#KEYS - 1]
local header = ''
for i = 1, #KEYS - 2 do
  header = header .. (redis.call('GET', KEYS[i]) or '') .. '.'
end
if redis.call('GET', lock) == ARGV[1] .. ARGV[2] then redis.call('DEL', lock) end
if ARGV[3] ~= '' and header == ARGV[1] then redis.call('SET', value, ARGV[1] .. ARGV[3], 'PX', ARGV[4]) end
"""
