-- Walking through a batch, answering, and what all kinds of groups share.
-- A group that is small is one field of its rule's hash: its records, after an 8-byte header only
-- where a cap let members go. A group that outgrew that has a key of its own; its field is then empty.
local SMALL = 1024 -- bytes; a rewrite of as much costs no more than a look into a key of one's own
local SATURATED = 4096
local CHUNK = 500 -- groups or members in one command: Lua passes no more than some thousand arguments
local committed = tonumber(ARGV[1])
local arg_at = 1
local reply = {}

local function next_arg()
  arg_at = arg_at + 1
  return ARGV[arg_at]
end

local function answer(number, size, windows, floor_until)
  local count = #windows
  if count == 0 and size < 2 then return end
  local floored = count > 0 and windows[1] < floor_until
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = number, size, floored and 1 or 0, count / 2
  for place = 1, count do reply[at + 4 + place] = windows[place] end
end

-- The time before which windows may have lost members, and the header that tells it.
local function floor_of(raw)
  return #raw % 16 == 8 and number_at(raw, 0) or NEVER
end

local function floor_header(floor_until)
  return floor_until > NEVER and struct.pack('>i8', floor_until) or ''
end

-- A command with any number of arguments, some at a time; `step` arguments belong together.
local function call_with(command, key, arguments, step)
  for from = 1, #arguments, CHUNK * step do
    redis.call(command, key, unpack(arguments, from, math.min(from + CHUNK * step - 1, #arguments)))
  end
end
