-- uses packed
-- A part of a rule's groups: the end of those that are over, and the newest times of those that live.
-- KEYS: the hash of its groups. ARGV: the cursor, about how many fields, the kind (as of observe), the
-- time before which a group's newest member is too old, the stems of groups' own keys and of what was
-- superseded, up to how many groups nobody asks for their times. Reply: the next cursor, then, where
-- there are more, each live group's field and newest time, as text.
local kind, horizon, stem, superseded = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local asked = redis.call('HLEN', KEYS[1]) > tonumber(ARGV[7])

local function newest_moved_out(key)
  if kind == 'members' then
    local until_ = redis.call('GETRANGE', key, 0, 7)
    return #until_ == 8 and number_at(until_, 0) or nil
  end
  if kind == 'values' then return tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2] or nil) end
  local time = redis.call('GETRANGE', key, -16, -9)
  return #time == 8 and number_at(time, 0) or nil
end

local function newest(field, raw)
  if raw == '' then return newest_moved_out(stem .. field) end
  if kind == 'members' then return number_at(raw, 0) end -- how long it lasts
  if kind == 'closing' and #raw == 16 then return number_at(raw, 0) end -- the end of what it forgot
  return number_at(raw, #raw - 16)
end

local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, gone = { found[1] }, {}
for place = 1, #found[2], 2 do
  local field, raw = found[2][place], found[2][place + 1]
  local time = newest(field, raw)
  if not time or time < horizon then
    gone[#gone + 1] = field
    if raw == '' then redis.call('DEL', stem .. field, superseded .. field) end
  elseif asked then
    reply[#reply + 1], reply[#reply + 2] = field, string.format('%.0f', time)
  end
end
for from = 1, #gone, 500 do
  redis.call('HDEL', KEYS[1], unpack(gone, from, math.min(from + 499, #gone)))
end
return reply
