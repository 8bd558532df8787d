/* The key pair and the signatures of the test vectors E and F of spec 01. Never used for anything
 * else. */
#ifndef SSMD_TESTS_LIB_TEST_KEY_H
#define SSMD_TESTS_LIB_TEST_KEY_H

#define TEST_KEY_PUBLIC                                                                            \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvizRuaMwdvOnZgI2+DWmkRRDaQA96Ho22GFD"             \
    "n2vPPiiZ5abIN6R8bOQVwSIZ3kGZwBu+t7h6IoM7JH0NNUfralcgwjM5L1ZUIaDUkJNS+KPm/HTHg03+"             \
    "gnEJQOSGQ6hk64mYoBUi+62wIQ1I4Q5cEOJLtxQkw14IxPQfEkPraVLdc8Oo1/G+k6ZX3aMU5jeBym3N"             \
    "qaJJTl9NqQ856M5f79hPI/degCV8Io5s/UR8C4E4BwunyiqlvqH6SeEzhBHEnex9rNg2AkmLLhRaKMtQ"             \
    "KTqp5KNbnvvn34U24biCUeAfr2yoZwt0aHaLtLBcv+uW50M899KWNqCEFiHXg1ADMwIDAQAB"

#define TEST_KEY_PRIVATE                                                                           \
    "MIIEowIBAAKCAQEAvizRuaMwdvOnZgI2+DWmkRRDaQA96Ho22GFDn2vPPiiZ5abIN6R8bOQVwSIZ3kGZ"             \
    "wBu+t7h6IoM7JH0NNUfralcgwjM5L1ZUIaDUkJNS+KPm/HTHg03+gnEJQOSGQ6hk64mYoBUi+62wIQ1I"             \
    "4Q5cEOJLtxQkw14IxPQfEkPraVLdc8Oo1/G+k6ZX3aMU5jeBym3NqaJJTl9NqQ856M5f79hPI/degCV8"             \
    "Io5s/UR8C4E4BwunyiqlvqH6SeEzhBHEnex9rNg2AkmLLhRaKMtQKTqp5KNbnvvn34U24biCUeAfr2yo"             \
    "Zwt0aHaLtLBcv+uW50M899KWNqCEFiHXg1ADMwIDAQABAoIBACcY7McW+zRBVHV+2BFAam2iNlekcpXU"             \
    "Zmkm2fGxBurXCwixOLFj0ibK34QUwC+22eaqbZO0y/tDconGYcxF7Gqw3e2+/S8zttkxCPJuL10pySe2"             \
    "1Hu0sbHcjlP2h3nqaVEZOTUUE1ydsTuiUQzf2GKqO3m4nPRDZVckfyzQpNnCkWRcsBG71tjHIbXwgiiz"             \
    "anOhoXxhx7JRuipFZ1nEMEgLBN5H21a8/vQjVt7bmXFZmOW1r4GAX9Fq3JevOH1O8kNS0Kfgxx+MSYfL"             \
    "o20w1LOITsddZFVaPeXCDcRGvGML6PdR7wzdZT1lnXuL1Uikf6JRvJOu9ifwhsuqRaDsr/kCgYEA/Z+q"             \
    "Y9i3Ho819rw+bGWMAeaQNdb6mLNpivSS8xbgnGoCDhg6RMJ+wz/ZmTTJPxuLZ6NXgHDDQtbciQzQhnXC"             \
    "mCw3fuWxZRqw34OBeMykRLQppZyxsbH6HMlnJgELfCMzO5v02fTgTKLbGFSHsDqdTMs5Rm1EDI3wMm3G"             \
    "zNjtI0kCgYEAv/T3t2O5HiX5j78IwIiyNCnmJBUhw9nGvDdqOV1XqSo//gHasPFuG3dDib6v9UKD/P8J"             \
    "7SD+jkvhVaPIumwJ7QG1YCj8N6lQsjNpEObgxjuBSIlDfn7+e4XXA5Sn4aiQ3YQ+9coyo7R9oc8nA73r"             \
    "1Zp4Fyz60sE7zg7mFHm4dpsCgYBdvsacYV5OTWEE8k+ggWhey3pCbFP0XVyFoCEw+SPMrOJVk172S23P"             \
    "fapQltJMIUJF7HpLX2LNMd4SSkpJaP2kgbOBlCUd2d/GvjT9EacmPfGm5WRI6iAow8j8oyY7nEczoVG/"             \
    "vmOp8AhL1fLRkNjTqcph3cFpYo2GFk2FKil9AQKBgQCM/5hxuauBbK16m/0Gx6H2VQx6Vpddr/qdyCqb"             \
    "hmfcl2832g7USBLz08/lPw8qnTgsPv4Ak2rIBQ64hDzuSmukDsw2nQReslzW+JJlWuGiWpUlPcY5BXlS"             \
    "LEZ6l9gVFmeKfxhsHKDDxNE/aNUkl33CgdtSUrTO2CdgvWrdgWcwnwKBgAVjV77znolshehwb9avAgOR"             \
    "mBytAuYc3NMnlro1nfNbyic8V1Rl4jSQNOlceBjdiZfTsYmbOmWe0Su7Qa5/t0VmtX5rFRA06yDIoywr"             \
    "cgY1d0T3fs12+ISGTX6lXBqc0u+tXAZN94ez8tcmL5guvIf91vQ95c4fGB+gBks8rR+X"

#define TEST_SIGNATURE_E                                                                           \
    "i9CgTizFC8LMLuuZMCeDDDkNDQBCfnqWmLOSWXlwe1MqkCOnH7d4p2eySoPDfS2hUZw2meIBZx0D7jaH"             \
    "QsyQTGy5KXbwsob5b3AZyU0Y0C4JtUX8xchS91c9zZjb34aLPp6sZxuxHkLGn+26gc1cgldsmQ+GJiMW"             \
    "8XmzBitCEkWM+WNetnNh9sPOSf8CVd49KC/RnvD7pLCDp3vYm35Y5MMmbA1w7swUPWnykStSUANPYJQP"             \
    "dNIlWiVi6f6ZXXDtv+cl7JhPc5bWadkII0ZxSxgWuQJMIrM6NA6jgJjWYbzntM6XKDP9B8WgnqHg9z5d"             \
    "Gfmiw4IwtaHnhwSAjulVSA=="

#define TEST_AUTHORIZATION_F                                                                       \
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240102/us-east-1/ssm/aws4_request, Sig"             \
    "nedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-am"             \
    "z-target, Signature=f5c167a0dc4fa0de17210249470048461549456233361c5b775262fb2082"             \
    "901f"

#define TEST_SIGNATURE_F                                                                           \
    "gEAmBHi0LBs/ZWGjhKcLK1SdaKNuImWxEQJqAoWgi0ILZ9hMWsTlHxBf1YEPt9gnyP/FRS7DSR2x2vVB"             \
    "Gt8yzSjaeM8WCULKg03putipu6yaIBOWMtNJGu8Wl3+JRB3kWlhxxexSMm6M/L4q39qFw3M3bdIE4j9t"             \
    "tH2GT5QNcbVqnXIK3IhHjJtHashCoOrBnEJaAempxZaq66YGbKNaPfVmp4EwuEz2/4JutZ8Q7nHDpO1o"             \
    "MduBevGSm0a9rL+riPUHNeOlslU2gyloX6muQZ0JGj/f7q166LHRJ6QXsHLTbfWZhymIZ9C617NsADbK"             \
    "MZaSShST6zd6NBSXYKaS3w=="

#endif
