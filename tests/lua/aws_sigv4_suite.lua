-- The 38 cases of AWS's published signing test suite (that of aws-c-auth): what is signed, and the
-- signatures in a header and, for those that send the same parameters as we do, in the query.
-- All are of AKIDEXAMPLE for the service "service" in us-east-1 at 2015-08-30 12:36:00 UTC.
local VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
local VANILLA_QUERY = "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"
local POST = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
local SPACE = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"
local SPACE_QUERY = "7a1f416954786484c9824d93c1f26ef64acb9b1b6c9154d08c9f07d0e394abf6"
local PARAMETER = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"

local LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwA" ..
  "eMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8p" ..
  "hUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT" ..
  "38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabI" ..
  "Qwj2ICCR/oLxBA=="

local function form(charset)
  return { { "Content-Type", "application/x-www-form-urlencoded" .. charset },
    { "Content-Length", "13" } }
end

local function mine(...)
  local headers = {}
  for i, value in ipairs { ... } do
    headers[i] = { "My-Header1", value }
  end
  return headers
end

return {
  { name = "get-header-key-duplicate", headers = mine("value2", "value2", "value1"),
    header = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    presigned = "3349ee0b81b4b589da0ff28a395c3591e04de515651dd74f298fa992d1507a97" },
  { name = "get-header-value-multiline", headers = mine "value1\n  value2\n     value3",
    header = "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
    presigned = "e6f5def831211aca02987a44b96826706278c7bc078112ae0263659c5b2f2d56" },
  { name = "get-header-value-order", headers = mine("value4", "value1", "value3", "value2"),
    header = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    presigned = "313720e71ca6202fdcfa9b20f88de01a4eb0638a83c833b1c184359a4eda864e" },
  { name = "get-header-value-trim",
    headers = { { "My-Header1", " value1" }, { "My-Header2", ' "a   b   c"' } },
    header = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    presigned = "e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4" },
  { name = "get-relative-normalized", path = "/example/..", header = VANILLA,
    presigned = VANILLA_QUERY },
  { name = "get-relative-unnormalized", path = "/example/..", normalize = false,
    header = "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282",
    presigned = "cbcb213b928a077e43275df47b500f1dfaa864ab3f5a18f6b95f4ff0938167ee" },
  { name = "get-relative-relative-normalized", path = "/example1/example2/../..",
    header = VANILLA, presigned = VANILLA_QUERY },
  { name = "get-relative-relative-unnormalized", path = "/example1/example2/../..",
    normalize = false,
    header = "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b" },
  { name = "get-slash-dot-slash-normalized", path = "/./", header = VANILLA,
    presigned = VANILLA_QUERY },
  { name = "get-slash-dot-slash-unnormalized", path = "/./", normalize = false,
    header = "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145" },
  { name = "get-slash-normalized", path = "//", header = VANILLA, presigned = VANILLA_QUERY },
  { name = "get-slash-unnormalized", path = "//", normalize = false,
    header = "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e" },
  { name = "get-slash-pointless-dot-normalized", path = "/./example",
    header = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
  { name = "get-slash-pointless-dot-unnormalized", path = "/./example", normalize = false,
    header = "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff" },
  { name = "get-slashes-normalized", path = "//example//",
    header = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    presigned = "c1834e8fb0307243711f0f907f6ab7311ed300d87f13792d7ee4da89ab93e082" },
  { name = "get-slashes-unnormalized", path = "//example//", normalize = false,
    header = "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5",
    presigned = "822a5a9ba28072c5ab2bb4a6307d0c88276d40e49fec6b724c03fb4d4ba60fc2" },
  { name = "get-space-normalized", path = "/example space/", header = SPACE,
    presigned = SPACE_QUERY },
  { name = "get-space-unnormalized", path = "/example space/", normalize = false, header = SPACE,
    presigned = SPACE_QUERY },
  { name = "get-unreserved", path = "/" .. LETTERS,
    header = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    presigned = "95968482db1b9e0fadef6efc1bd24689f77c77d9ef56919c96a28cc92e0d6005" },
  { name = "get-utf8", path = "/\u{1234}",
    header = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    presigned = "10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44" },
  { name = "get-vanilla", header = VANILLA, presigned = VANILLA_QUERY },
  { name = "get-vanilla-empty-query-key", query = "Param1=value1",
    header = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
  { name = "get-vanilla-query", query = "", header = VANILLA, presigned = VANILLA_QUERY },
  { name = "get-vanilla-query-order-encoded",
    query = "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
    header = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    presigned = "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787" },
  { name = "get-vanilla-query-order-key-case", query = "Param2=value2&Param1=value1",
    header = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    presigned = "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5" },
  { name = "get-vanilla-query-unreserved", query = LETTERS .. "=" .. LETTERS,
    header = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    presigned = "8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf" },
  { name = "get-vanilla-utf8-query", query = "\u{1234}=bar",
    header = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    presigned = "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600" },
  { name = "get-vanilla-with-session-token",
    token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
    header = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
  { name = "post-header-key-case", method = "POST", header = POST },
  { name = "post-header-key-sort", method = "POST", headers = mine "value1",
    header = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
  { name = "post-header-value-case", method = "POST", headers = mine "VALUE1",
    header = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    presigned = "0698bc9e4f7f9139065ba2909c0e99da257e8e2a42492a097bcd46d792391fed" },
  { name = "post-sts-header-after", method = "POST", token = TOKEN, omit_session_token = true,
    header = POST },
  { name = "post-sts-header-before", method = "POST", token = TOKEN,
    header = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
  { name = "post-vanilla", method = "POST", header = POST },
  { name = "post-vanilla-empty-query-value", method = "POST", query = "Param1=value1",
    header = PARAMETER },
  { name = "post-vanilla-query", method = "POST", query = "Param1=value1", header = PARAMETER },
  { name = "post-x-www-form-urlencoded", method = "POST", body = "Param1=value1",
    headers = form "", sign_body = true,
    header = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    presigned = "c2348f57d08c84939944d6c878b3f7be56316f8e7fd6817e81eded279a362d69" },
  { name = "post-x-www-form-urlencoded-parameters", method = "POST", body = "Param1=value1",
    headers = form "; charset=utf-8", sign_body = true,
    header = "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    presigned = "1b8d9ac4ab8553a224622753bae7714608a7c61f8994dbd385150e6da12114df" },
}
