"""Names as the household register really holds them: frequent surnames, given names, minority names, rare characters.

Surname weights follow the published order of the most frequent surnames. A name is chance alone: it belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Callable

_WEIGHTED_SURNAMES = {
    72: "王李张",
    54: "刘陈",
    38: "杨黄赵吴周",
    22: "徐孙马朱胡郭何林高罗",
    15: "郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余",
    8: "于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫"
    "雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤",
    2: "康易乔赖庞樊兰殷施洪翟安颜倪牛温芦季俞章鲁葛伍申尤毕聂柴焦齐祝凌鲍涂冉岳游辛欧柯舒阮褚路",
}
SURNAMES: tuple[str, ...] = tuple(
    surname for weight, characters in _WEIGHTED_SURNAMES.items() for surname in characters for _ in range(weight)
)
COMPOUND_SURNAMES = ("欧阳", "司马", "诸葛", "上官", "皇甫", "司徒", "慕容", "夏侯", "尉迟", "令狐")

_MALE_FIRST = "建国志文明德家永俊浩宇子天嘉宏海晓正伟光世成立新振庆春荣学泽博思承景鹏少金祥兆云启"
_MALE_LAST = "伟强军磊洋勇杰涛明超刚平辉鹏飞斌波宇浩轩华民亮健峰林龙江海山东生根祥福贵昊然辰睿哲远航翔凯"
_FEMALE_FIRST = "秀玉桂淑美丽雅晓梦思雨欣诗佳子婉惠春月红小海彩艺若语静紫可慧燕凤金素安心"
_FEMALE_LAST = "英芳娜敏静丽艳娟霞玲芬燕红梅莉萍兰珍琴云洁雪琳婷瑶怡涵萱悦妍馨彤菲蓉华香莲琼琪颖倩"
_MALE_SINGLE = "伟强磊洋勇军杰涛超明刚辉斌鹏飞波浩宇凯健俊帆旭晨昊睿毅岩鑫锋"
_FEMALE_SINGLE = "芳娜敏静丽艳娟霞燕玲洁雪琳婷瑶怡颖倩莹蕾薇璐悦萌佳琪妍欣"
RARE_CHARACTERS = tuple("𬱖𠮷𫖯𬭎𫍯𬀩𪟝𬘘𫓧𬒈𬙊䶮㛃喆犇淼堃赟翀彧")
"""Characters that registers struggle with; most lie beyond the Basic Multilingual Plane (GB 18030-2022 level 3)."""

_PATRONYMIC = {
    "05": (
        ("买买提", "吐尔逊", "阿不都拉", "艾尼", "努尔买买提", "库尔班", "依明", "艾合买提", "玉素甫", "卡德尔"),
        ("阿依古丽", "古丽娜尔", "阿依努尔", "帕提古丽", "热娜古丽", "迪丽娜尔", "阿米娜", "茹仙古丽", "麦丽开"),
    ),
    "17": (
        ("叶尔肯", "努尔兰", "赛力克", "巴合提", "哈德尔", "托合塔尔", "阿尔曼", "木拉提"),
        ("古丽巴哈尔", "阿依丁", "加娜尔", "沙吾列", "娜孜古丽", "巴哈尔古丽"),
    ),
}
_SINGLE_NAMED = {
    "02": (
        ("巴特尔", "朝鲁", "苏和", "哈斯巴根", "布仁", "宝音", "那顺", "额尔敦"),
        ("其其格", "乌兰", "萨仁高娃", "娜仁花", "托娅", "斯琴"),
    ),
    "04": (
        ("扎西顿珠", "多吉", "次仁", "丹增", "洛桑旺堆", "平措", "强巴"),
        ("卓玛", "央金", "德吉", "拉姆", "白玛", "次仁央宗", "格桑"),
    ),
}
RARE_SHARE = 0.006
COMPOUND_SHARE = 0.004
SINGLE_CHARACTER_SHARE = 0.16

Chance = Callable[[], float]


def surname(chance: Chance) -> str:
    """Return a surname, frequent ones often."""
    if chance() < COMPOUND_SHARE:
        return COMPOUND_SURNAMES[int(chance() * len(COMPOUND_SURNAMES))]
    return SURNAMES[int(chance() * len(SURNAMES))]


def given_name(chance: Chance, male: bool) -> str:
    """Return one or two characters, now and then with one that registers struggle with."""
    drawn = chance()
    if drawn < RARE_SHARE:
        rare = RARE_CHARACTERS[int(drawn / RARE_SHARE * len(RARE_CHARACTERS))]
        first = _MALE_FIRST if male else _FEMALE_FIRST
        return rare if drawn < RARE_SHARE / 4 else first[int(chance() * len(first))] + rare
    if drawn < SINGLE_CHARACTER_SHARE:
        single = _MALE_SINGLE if male else _FEMALE_SINGLE
        return single[int(chance() * len(single))]
    first, last = (_MALE_FIRST, _MALE_LAST) if male else (_FEMALE_FIRST, _FEMALE_LAST)
    return first[int(chance() * len(first))] + last[int(chance() * len(last))]


def minority_name(chance: Chance, ethnicity: str, male: bool, fathers_name: str | None) -> str | None:
    """Return a name in the custom of *ethnicity*, or None where Han-style names are the custom.

    Uyghur and Kazakh names are the own name, a middle dot (U+00B7) and the father's own name; Mongol and Tibetan names
    stand alone.
    """
    side = 0 if male else 1
    if patronymic := _PATRONYMIC.get(ethnicity):
        own = patronymic[side][int(chance() * len(patronymic[side]))]
        fathers = patronymic[0][int(chance() * len(patronymic[0]))]
        if fathers_name and "·" in fathers_name:
            fathers = fathers_name.partition("·")[0]
        return f"{own}·{fathers}"
    if single := _SINGLE_NAMED.get(ethnicity):
        return single[side][int(chance() * len(single[side]))]
    return None
